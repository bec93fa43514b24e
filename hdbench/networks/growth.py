"""Larger networks that start with the weights of smaller ones (coarse to fine, Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer

Generator = GlobalGenerator | LocalEnhancer


def grow_generator(smaller: nn.Module, larger: nn.Module) -> None:
    """Copy a generator's weights into one with as many enhancers or more.

    The convolution to the image is copied only if both have as many; otherwise it has other
    channels, and keeps its fresh weights.
    """
    assert isinstance(smaller, Generator)
    assert isinstance(larger, Generator)
    _copy(_bodies(smaller), _bodies(larger))
    if len(_bodies(smaller)) == len(_bodies(larger)):
        larger.to_image.load_state_dict(smaller.to_image.state_dict())


def newest_enhancer(generator: nn.Module) -> Iterator[nn.Parameter]:
    """Return the parameters of the last enhancer and of the convolution to the image."""
    assert isinstance(generator, LocalEnhancer)
    yield from generator.enhancers[-1].parameters()
    yield from generator.to_image.parameters()


def grow_discriminator(fewer: MultiscaleDiscriminator, more: MultiscaleDiscriminator) -> None:
    """Copy discriminators into one of as many scales or more; the new ones are the finest."""
    _copy(reversed(list(fewer.scales)), reversed(list(more.scales)))


def _copy(sources: Iterable[nn.Module], targets: Iterable[nn.Module]) -> None:
    for source, target in zip(sources, targets, strict=False):
        target.load_state_dict(source.state_dict())


def _bodies(generator: Generator) -> list[nn.Module]:
    """Return the parts that a generator with more enhancers has too, coarse first."""
    if isinstance(generator, GlobalGenerator):
        return [generator.body]
    return [generator.global_body, *generator.enhancers]
