"""Weights in the layout of the official implementation, and back: the one file of foreign names.

A state dict of NVIDIA/pix2pixHD numbers every module of a sequence, padding, norm and activation
included:

    G, alone          model.N: the whole global generator
    G with enhancers  model.N: the global generator without its last three modules;
                      model{n}_1.N: the front-end of enhancer n, from 1; model{n}_2.N: its residual
                      blocks and enlargement, for the last enhancer also the convolution to images
    D                 scale{s}_layer{l}.N: layer l of the discriminator at scale s; the last s sees
                      the full resolution
    E                 model.N

A residual block's convolutions are ``conv_block.1`` and ``conv_block.5``. Instance norm has no
parameters; files from before PyTorch 0.4 hold running statistics of it, which nothing reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hdbench.errors import CheckpointError, UsageError, counted
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.encoder import FeatureEncoder
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.runtime.weights import differences, refuse

#: The files that the official implementation writes after each epoch.
GENERATOR_FILE = "latest_net_G.pth"
DISCRIMINATOR_FILE = "latest_net_D.pth"
ENCODER_FILE = "latest_net_E.pth"

_UNUSED = (".running_mean", ".running_var", ".num_batches_tracked")
_MOST_DOWNSAMPLINGS = 8  # more are of a file that is no generator's


@dataclass(frozen=True)
class GeneratorFacts:
    """The architecture of a generator in the official layout."""

    in_channels: int
    #: Channels of the global generator at its full resolution: the official ``--ngf`` times 2 for
    #: each enhancer.
    base_channels: int
    downsamplings: int
    residual_blocks: int
    enhancers: int
    enhancer_blocks: int

    def build(self) -> GlobalGenerator | LocalEnhancer:
        """Return the network, with fresh weights."""
        if self.enhancers == 0:
            return GlobalGenerator(
                self.in_channels, self.base_channels, self.downsamplings, self.residual_blocks
            )
        return LocalEnhancer(
            self.in_channels,
            self.base_channels // 2**self.enhancers,
            self.downsamplings,
            self.residual_blocks,
            self.enhancers,
            self.enhancer_blocks,
        )

    @property
    def words(self) -> str:
        """The architecture in words."""
        more = f" and {counted(self.enhancers, 'enhancer')}" if self.enhancers else ""
        return (
            f"a generator of {self.base_channels} channels, {self.downsamplings} downsamplings, "
            f"{self.residual_blocks} residual blocks{more}, {self.in_channels} input channels"
        )


@dataclass(frozen=True)
class DiscriminatorFacts:
    """The architecture of discriminators in the official layout."""

    #: Of condition and image together.
    in_channels: int
    base_channels: int
    layers: int
    scales: int

    def build(self) -> MultiscaleDiscriminator:
        """Return the network, with fresh weights."""
        return MultiscaleDiscriminator(
            self.in_channels, self.base_channels, self.layers, self.scales
        )

    @property
    def words(self) -> str:
        """The architecture in words."""
        return (
            f"discriminators at {counted(self.scales, 'scale')} of {self.base_channels} channels, "
            f"{self.layers} strided layers, {self.in_channels} input channels"
        )


@dataclass(frozen=True)
class EncoderFacts:
    """The architecture of a feature encoder in the official layout."""

    base_channels: int
    downsamplings: int
    style_channels: int

    def build(self) -> FeatureEncoder:
        """Return the network, with fresh weights."""
        return FeatureEncoder(self.base_channels, self.downsamplings, self.style_channels)

    @property
    def words(self) -> str:
        """The architecture in words."""
        return (
            f"a feature encoder of {self.base_channels} channels, {self.downsamplings} "
            f"downsamplings, {self.style_channels} style channels"
        )


Facts = GeneratorFacts | DiscriminatorFacts | EncoderFacts


# -- from a state dict to the architecture ---------------------------------------------------------


def generator_facts(state: Mapping[str, Tensor]) -> GeneratorFacts:
    """Return the generator whose state dict this most probably is; the paper's where it is silent.

    Nothing is checked here: ``read_official`` compares every name and shape.
    """
    blocks = _block_numbers(state, "model")
    base, channels = _shape(state, "model.1.weight", (64, 36, 7, 7))[:2]
    strided = (min(blocks) - 4) // 3 if blocks else 4
    enhancers = len({match[1] for name in state if (match := re.match(r"model(\d+)_\d", name))})
    while enhancers and base < 2**enhancers:
        enhancers -= 1
    return GeneratorFacts(
        in_channels=channels,
        base_channels=base,
        downsamplings=strided if 0 < strided <= _MOST_DOWNSAMPLINGS else 4,
        residual_blocks=len(blocks) or 9,
        enhancers=enhancers,
        enhancer_blocks=len(_block_numbers(state, "model1_2")) or 3,
    )


def discriminator_facts(state: Mapping[str, Tensor]) -> DiscriminatorFacts:
    """Return the discriminators whose state dict this most probably is, as ``generator_facts``."""
    found = [(int(match[1]), int(match[2])) for name in state if (match := _LAYER.match(name))]
    base, channels = _shape(state, "scale0_layer0.0.weight", (64, 39, 4, 4))[:2]
    return DiscriminatorFacts(
        in_channels=channels,
        base_channels=base,
        layers=max(1, len({layer for _, layer in found}) - 2) if found else 3,
        scales=len({scale for scale, _ in found}) or 3,
    )


def encoder_facts(state: Mapping[str, Tensor]) -> EncoderFacts:
    """Return the encoder whose state dict this most probably is, as ``generator_facts``."""
    base = _shape(state, "model.1.weight", (16, 3, 7, 7))[0]
    numbers = sorted(
        int(match[1]) for name in state if (match := re.fullmatch(r"model\.(\d+)\.weight", name))
    )
    strided = (len(numbers) - 2) // 2
    last = f"model.{numbers[-1]}.weight" if numbers else ""
    return EncoderFacts(
        base_channels=base,
        downsamplings=strided if 0 < strided <= _MOST_DOWNSAMPLINGS else 4,
        style_channels=_shape(state, last, (3, base, 7, 7))[0],
    )


_LAYER = re.compile(r"scale(\d+)_layer(\d+)\.")
_FACTS = {
    "generator": generator_facts,
    "discriminator": discriminator_facts,
    "encoder": encoder_facts,
}


def _block_numbers(state: Iterable[str], prefix: str) -> set[int]:
    pattern = re.compile(rf"{prefix}\.(\d+)\.conv_block\.")
    return {int(match[1]) for name in state if (match := pattern.match(name))}


def _shape(state: Mapping[str, Tensor], name: str, else_: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a convolution's weight, or another where the file has none."""
    found = state.get(name)
    usual = found is not None and found.dim() == 4 and min(found.shape) > 0
    return tuple(found.shape) if found is not None and usual else else_


def _part_of(state: Iterable[str]) -> str | None:
    """Return which of the three networks a state dict's names are of, or None."""
    names = list(state)
    if any(_LAYER.match(name) for name in names):
        return "discriminator"
    if any(".conv_block." in name for name in names):
        return "generator"
    return "encoder" if any(name.startswith("model.") for name in names) else None


# -- between the official names and ours -----------------------------------------------------------


def official_names(network: nn.Module) -> dict[str, str]:
    """Return the official name of each tensor of a network's state dict, by its name here.

    The network may be on the meta device. Raises UsageError if the official layout has no such
    network.
    """
    _require_official(network)
    names = {name: _official_name(network, name) for name in network.state_dict()}
    if isinstance(network, MultiscaleDiscriminator):  # the coarsest scale comes first there
        return dict(sorted(names.items(), key=lambda pair: _scale(pair[1])))
    return names


def to_official(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state dict in the official layout, in fp32, on the CPU.

    Raises:
        UsageError: the official layout has no such network.
    """
    state = network.state_dict()
    return {
        theirs: state[ours].detach().cpu().float().contiguous()
        for ours, theirs in official_names(network).items()
    }


def read_official(
    where: str, part: str, state: Mapping[str, Tensor]
) -> tuple[Facts, dict[str, Tensor]]:
    """Return the architecture of an official state dict, and its tensors by their names here.

    Args:
        where: the file, for messages.
        part: what it should hold: ``generator``, ``discriminator`` or ``encoder``.
        state: tensors by their official names.

    Raises:
        CheckpointError: names or shapes are not those of such a network, or values are not finite;
            the first few differences are listed, and all are counted.
    """
    state = {name: value for name, value in state.items() if not name.endswith(_UNUSED)}
    facts = _FACTS[part](state)
    with torch.device("meta"):
        network = facts.build()
    names = official_names(network)
    ours = network.state_dict()
    lines = differences(state, {theirs: ours[name] for name, theirs in names.items()})
    other = _part_of(state)
    if lines and other not in (None, part):
        option = "the first argument" if other == "generator" else f"--{other} FILE"
        raise CheckpointError(
            f"{where}: the names in it are of the official implementation's {other}, expected its "
            f"{part}.\nNext: give this file as {option}"
        )
    refuse(where, f"{facts.words} in the official layout", lines)
    bad = [
        f"{name}: {value.dtype}, expected finite numbers"
        for name, value in state.items()
        if not value.is_floating_point() or not bool(torch.isfinite(value).all())
    ]
    refuse(where, f"{facts.words} in the official layout", bad)
    return facts, {name: state[theirs] for name, theirs in names.items()}


def _require_official(network: nn.Module) -> None:
    if not isinstance(
        network, GlobalGenerator | LocalEnhancer | MultiscaleDiscriminator | FeatureEncoder
    ):
        raise UsageError(
            f"{type(network).__name__}: the official implementation has no such network.\n"
            "Next: 'hdbench export-weights --hub' writes any generator"
        )
    if isinstance(network, MultiscaleDiscriminator):
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) or getattr(layer, "padding", (2, 2)) != (2, 2):
                raise UsageError(
                    f"{type(network).__name__}: the official implementation's discriminators have "
                    "padding = 2 and norm = 'instance'; these have not"
                )
        return
    output = network.to_style if isinstance(network, FeatureEncoder) else network.to_image
    usual = isinstance(output[0], nn.ReflectionPad2d)
    if not usual or any(_is_another(layer) for layer in network.modules()):
        raise UsageError(
            f"{type(network).__name__}: the official implementation enlarges features by "
            "transposed convolutions, pads them with zeros where they shrink or grow, and pads its "
            "output by reflection; this network does not.\n"
            "Next: 'hdbench export-weights --hub' writes any generator"
        )


def _is_another(layer: nn.Module) -> bool:
    """Return whether no official network has such a layer."""
    if isinstance(layer, nn.ConvTranspose2d):
        return type(layer) is not nn.ConvTranspose2d
    return isinstance(layer, nn.Upsample) or getattr(layer, "padding_mode", "zeros") != "zeros"


def _scale(name: str) -> int:
    match = _LAYER.match(name)
    assert match is not None
    return int(match[1])


def _official_name(network: nn.Module, name: str) -> str:
    """Return the official name of one tensor."""
    parts = name.replace(".block.", ".conv_block.").split(".")
    if isinstance(network, MultiscaleDiscriminator):  # scales.0.stages.1.0.weight
        _, scale, _, layer, *rest = parts
        return ".".join([f"scale{len(network.scales) - 1 - int(scale)}_layer{layer}", *rest])
    if parts[0] == "enhancers":  # enhancers.0.blocks.1.conv_block.1.weight
        _, number, half, *rest = parts
        return ".".join([f"model{int(number) + 1}_{1 if half == 'front_end' else 2}", *rest])
    if parts[0] in ("to_image", "to_style"):  # numbered on from the sequence before it
        prefix, before = _before_output(network)
        return ".".join([prefix, str(before + int(parts[1])), *parts[2:]])
    return ".".join(["model", *parts[1:]])  # body, global_body


def _before_output(network: nn.Module) -> tuple[str, int]:
    """Return the sequence that the last convolution belongs to, and the modules before it."""
    if isinstance(network, LocalEnhancer):
        last = len(network.enhancers)
        blocks = network.get_submodule(f"enhancers.{last - 1}.blocks")
        assert isinstance(blocks, nn.Sequential)
        return f"model{last}_2", len(blocks)
    assert isinstance(network, GlobalGenerator | FeatureEncoder)
    return "model", len(network.body)
