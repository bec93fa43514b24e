"""Starting a training from the weights of another, perhaps with other labels or fewer enhancers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hdbench.data.labels import LabelSpace
from hdbench.errors import CheckpointError, UsageError, counted, suggestion
from hdbench.networks.builder import (
    build_discriminator,
    build_generator,
    has_boundaries,
    limits_of,
    style_channels,
)
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.encoder import FeatureEncoder
from hdbench.networks.growth import grow_discriminator, grow_generator
from hdbench.networks.layers import ConditionConv2d
from hdbench.runtime.weights import differences, require_same_shapes
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import Input, Pix2PixHD
from hdbench.training.stages import at_stage, stages_of

_LABEL, _UNNAMED = "class ", "channel "
_IMAGE = ("red", "green", "blue")


@dataclass(frozen=True)
class Channels:
    """What the channels of a generator's input are."""

    #: In the order of the channels; classes begin with ``class``.
    names: list[str]
    #: Indices of the classes that are scored.
    scored: list[int]

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [name.removeprefix(_LABEL) for name in self.names if name.startswith(_LABEL)]

    def and_image(self) -> Channels:
        """Return the channels of the discriminators' input: without styles, with an image."""
        names = [name for name in self.names if not name.startswith("style ")]
        return Channels([*names, *_IMAGE], self.scored)


def channels_of(
    space: LabelSpace, given: Input, styles: int, image: ImageInput | None = None
) -> Channels:
    """Return the channels of a method's input: labels or an input image, boundary map, styles."""
    scored: list[int] = []
    if image is not None:
        names = [f"input {n}" for n in range(image.channels)]
    else:
        names = [f"{_UNNAMED}{n} of {space.name}" for n in range(space.channels)]
        for entry in space.classes:
            names[entry.id] = _LABEL + plain(entry.name)
        scored = [entry.id for entry in space.scored]
    if has_boundaries(given, image):
        names.append("boundary")
    return Channels([*names, *(f"style {n}" for n in range(styles))], scored)


def plain(name: str) -> str:
    """Return a class's name without what differs between spellings: case, ``_`` and ``-``."""
    return " ".join(re.split(r"[\s_-]+", name.strip().casefold()))


@dataclass(frozen=True)
class Matching:
    """Which channel of the networks that are there each channel of the new ones starts as."""

    here: Channels
    there: Channels
    #: For each channel here the channel there; None where it has no partner.
    partners: list[int | None]

    @property
    def matched(self) -> list[str]:
        """The classes with a partner."""
        return [name for name, partner in self._classes if partner is not None]

    @property
    def unmatched(self) -> list[str]:
        """The classes without one."""
        return [name for name, partner in self._classes if partner is None]

    @property
    def _classes(self) -> list[tuple[str, int | None]]:
        return [
            (name.removeprefix(_LABEL), partner)
            for name, partner in zip(self.here.names, self.partners, strict=True)
            if name.startswith(_LABEL)
        ]

    def for_discriminators(self) -> Matching:
        """Return the same for the discriminators' input."""
        here, there = self.here.and_image(), self.there.and_image()
        partners = dict(zip(self.here.names, self.partners, strict=True))
        partners |= {name: there.names.index(name) for name in _IMAGE}
        return Matching(here, there, [partners[name] for name in here.names])

    def columns(self, weight: Tensor) -> Tensor:
        """Return a convolution's weight, out x in x h x w, for the input's channels here.

        A label without a partner starts as the mean of the scored classes: as something that is
        there, of no class in particular. Any other channel without one starts at 0, so that it
        changes nothing before it is learnt.
        """
        mean = weight[:, self.there.scored].mean(dim=1) if self.there.scored else weight[:, 0] * 0
        columns = [
            weight[:, partner]
            if partner is not None
            else mean
            if name.startswith((_LABEL, _UNNAMED))
            else torch.zeros_like(mean)
            for name, partner in zip(self.here.names, self.partners, strict=True)
        ]
        return torch.stack(columns, dim=1)


def matching(here: Channels, there: Channels, renamed: Mapping[str, str]) -> Matching:
    """Match channels by name; ``renamed`` are classes here whose partner has another name.

    Raises:
        UsageError: one of these classes does not exist.
    """
    named = {plain(mine): plain(theirs) for mine, theirs in renamed.items()}
    for names, channels in ((named, here), (named.values(), there)):
        for name in names:
            if name not in channels.classes:
                raise UsageError(f"no class '{name}'{suggestion(name, channels.classes)}")
    places = {name: n for n, name in reversed(list(enumerate(there.names)))}
    wanted = [_LABEL + named.get(name.removeprefix(_LABEL), "") for name in here.names]
    return Matching(
        here,
        there,
        [
            places.get(other if other != _LABEL else name)
            for name, other in zip(here.names, wanted, strict=True)
        ],
    )


@dataclass(frozen=True)
class StartingWeights:
    """The networks that a training starts from."""

    #: Where they come from, for messages.
    where: str
    generator: Mapping[str, Tensor]
    encoder: Mapping[str, Tensor] | None
    discriminator: Mapping[str, Tensor] | None
    channels: Channels
    #: Classes here, and the names of their partners, where these differ.
    classes: Mapping[str, str]

    def into(
        self,
        method: Pix2PixHD,
        benchmark: Benchmark,
        space: LabelSpace,
        generator: nn.Module,
        encoder: FeatureEncoder | None,
        discriminator: MultiscaleDiscriminator | None,
    ) -> Matching:
        """Copy the weights into the networks with which a method's training begins.

        Raises:
            CheckpointError: a network has another architecture or width, or the generator fewer
                enhancers than its source; tensors that differ are listed.
            UsageError: a class does not exist.
        """
        first, matched = self._first(method, benchmark, space)
        with torch.random.fork_rng(devices=[]):
            self._into_generator(first, benchmark, matched, generator)
            if self.discriminator is not None:
                fewer = _with_scales(self.discriminator, first, benchmark, matched)
                assert fewer is not None
                assert discriminator is not None
                grow_discriminator(fewer, discriminator)
        if self.encoder is not None and encoder is not None:
            require_same_shapes(f"{self.where}: encoder", self.encoder, encoder)
            encoder.load_state_dict(dict(self.encoder))
        return matched

    def _into_generator(
        self, first: Pix2PixHD, benchmark: Benchmark, matched: Matching, generator: nn.Module
    ) -> None:
        count, most = enhancers_of(self.generator), first.generator.enhancers
        if count > most:
            raise CheckpointError(
                f"{self.where}: its generator has {counted(count, 'enhancer')}, "
                f"the training of '{first.name}' begins with {most}; a generator may get more of "
                "them, not fewer"
            )
        labels = len(matched.here.names) - style_channels(first)
        smaller_method = first
        if count < most:
            spec = first.generator.model_copy(update={"enhancers": count})
            smaller_method = first.model_copy(update={"generator": spec})
        smaller = build_generator(smaller_method, labels, limits_of(benchmark))
        state = _remapped(f"{self.where}: generator", self.generator, smaller, matched)
        smaller.load_state_dict(state)
        if count == most:
            generator.load_state_dict(smaller.state_dict())
        else:
            grow_generator(smaller, generator)

    def discriminator_fits(
        self, method: Pix2PixHD, benchmark: Benchmark, space: LabelSpace
    ) -> str | None:
        """Return why the discriminators cannot be taken over, or None if they can."""
        if method.discriminator is None:
            return "the method has none"
        if self.discriminator is None:
            return "no checkpoint of its last step is beside it"
        first, matched = self._first(method, benchmark, space)
        with torch.random.fork_rng(devices=[]):
            fits = _with_scales(self.discriminator, first, benchmark, matched) is not None
        return None if fits else "the source's have more scales, other layers or another width"

    def _first(
        self, method: Pix2PixHD, benchmark: Benchmark, space: LabelSpace
    ) -> tuple[Pix2PixHD, Matching]:
        """Return the method of the first stage, and how its channels match these weights'."""
        first = at_stage(method, stages_of(method, benchmark.budget)[0])
        here = channels_of(space, method.input, style_channels(method), benchmark.input)
        return first, matching(here, self.channels, self.classes)


def enhancers_of(state: Mapping[str, Tensor]) -> int:
    """Return the number of enhancers of a generator's weights."""
    return len({name.split(".")[1] for name in state if name.startswith("enhancers.")})


def _with_scales(
    weights: Mapping[str, Tensor], first: Pix2PixHD, benchmark: Benchmark, matched: Matching
) -> MultiscaleDiscriminator | None:
    """Return discriminators with these weights, or None if the method's are of another kind."""
    scales = len({name.split(".")[1] for name in weights if name.startswith("scales.")})
    if first.discriminator is None or not 0 < scales <= first.discriminator.scales:
        return None
    spec = first.discriminator.model_copy(update={"scales": scales})
    pair = matched.for_discriminators()
    judged = first.model_copy(update={"discriminator": spec})
    network = build_discriminator(judged, len(pair.here.names), limits_of(benchmark))
    try:
        state = _remapped("discriminators", weights, network, pair)
    except CheckpointError:
        return None
    network.load_state_dict(state)
    return network


def _remapped(
    where: str, state: Mapping[str, Tensor], network: nn.Module, matched: Matching
) -> dict[str, Tensor]:
    """Return weights whose first convolutions read the input's channels in this order.

    Raises:
        CheckpointError: they are of another architecture or width.
    """
    found = {name: value.float() for name, value in state.items()}
    for name in _first_convolutions(network):
        weight = found.get(name)
        if weight is None or weight.ndim != 4:
            continue  # named among the differences
        if weight.shape[1] != len(matched.there.names):
            raise CheckpointError(
                f"{where}: {name} reads {weight.shape[1]} channels; "
                f"{len(matched.there.names)} are known by name"
            )
        found[name] = matched.columns(weight)
    if differences(found, network.state_dict()):
        require_same_shapes(where, found, network)
    return found


def _first_convolutions(network: nn.Module) -> Sequence[str]:
    return [
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, ConditionConv2d)
    ]
