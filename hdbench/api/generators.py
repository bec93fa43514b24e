"""Images from label maps: a generator of a method, a run or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from hdbench.api.styling import StyleChoice, StyleSource
from hdbench.data.labels import LabelClass, LabelSpace, identified_space
from hdbench.data.scene import Scene
from hdbench.errors import CheckpointError, LibraryError, UsageError, counted
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import AS_STATED, Limits, build_encoder, limits_of
from hdbench.networks.encoder import FeatureEncoder
from hdbench.runtime.devices import Precision, choose_device, require_precision
from hdbench.runtime.weights import load_weights, require_weights
from hdbench.schema.base import from_identity
from hdbench.schema.benchmark import Budget, Size
from hdbench.schema.generator import ENCODER_WEIGHTS, GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.hub import HUB_CONFIG, HUB_WEIGHTS
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import KINDS, GeneratorMethod, require_generator
from hdbench.schema.styles import STYLES_FILE
from hdbench.styles import DEFAULT_STYLE
from hdbench.synthesis import LoadedGenerator
from hdbench.synthesis import load_generator as load_weights_of
from hdbench.workflows.styles import require_styles
from hdbench.workspace.bench import open_bench
from hdbench.workspace.hub_folder import read_hub_folder
from hdbench.workspace.paths import open_workspace
from hdbench.workspace.runs import generator_file, read_generator_card
from hdbench.workspace.stale import Stale
from hdbench.workspace.styles import read_styles, trained_encoder

#: A map of ids, H x W: an array or tensor of integers, or an image whose values are the ids.
IdMap = NDArray[Any] | Tensor | Image.Image


class Generator:
    """A generator that is ready to synthesize; ``load_generator`` returns it."""

    def __init__(
        self, loaded: LoadedGenerator, size: Size, styles: StyleSource | None = None
    ) -> None:
        self._loaded, self._styles = loaded, styles
        #: The name of its method.
        self.name = loaded.method.name
        #: Width and height of the images that it was made for, in pixels; others are possible.
        self.size = (size.width, size.height)
        #: The names of the classes that label maps may hold, by their ids.
        self.classes = {entry.id: entry.name for entry in loaded.space.classes}

    def synthesize(
        self,
        label: IdMap | Sequence[IdMap] | None = None,
        instance: IdMap | Sequence[IdMap] | None = None,
        style: StyleChoice | None = None,
        name: str = "scene",
        image: NDArray[Any] | Tensor | None = None,
    ) -> NDArray[np.uint8]:
        """Return the image of a label map, or the images of several; or that of an input image.

        The image has the size of the label map, and is equal, byte for byte, to what ``hdbench
        synthesize`` writes for a scene of this size.

        Args:
            label: H x W label ids: an integer array or tensor, or an image with the ids as its
                grey values or palette indices. B x H x W, or a sequence of maps, is a batch.
            instance: ids of instances in the same form, below 2^31; their borders are the boundary
                map. None: the borders of label regions, as for datasets without instance maps.
            style: the styles of the image, for methods with a feature encoder. ``random`` (also
                None), ``random:7`` with another seed, or ``center:3`` of each class; a mapping from
                ids of instances to numbers of centres, the others random; a photograph, uint8
                H x W x 3, whose styles are encoded; or a style for each pixel, float S x H x W.
            name: the scene's name, on which random styles depend.
            image: the input, H x W x C or H x W, for methods that were trained on images instead of
                label maps (``[input]`` of a benchmark), in the range that the benchmark states. The
                label map may then be left out.

        Returns:
            uint8 H x W x 3 RGB; B x H x W x 3 for a batch.

        Raises:
            UsageError: not integers, an unknown id, maps of different sizes, sides that do not suit
                the network, or a style that the method cannot use.
        """
        given = self._given(image)
        if label is None:
            if given is None:
                raise UsageError(f"label is missing; '{self.name}' makes images of label maps")
            label = torch.zeros(given.shape[1:], dtype=torch.int64)
        labels, batched = _maps(label, "label")
        if given is not None and (batched or labels[0].shape != given.shape[1:]):
            raise UsageError(
                f"image: {given.shape[2]}x{given.shape[1]}; expected one label map of this size"
            )
        instances = [None] * len(labels)
        if instance is not None:
            found, also = _maps(instance, "instance")
            if (len(found), also) != (len(labels), batched):
                raise UsageError(
                    f"instance: {counted(len(found), 'map')}, but "
                    f"{counted(len(labels), 'label map')}"
                )
            instances = found
        images = []
        for n, (one, other) in enumerate(zip(labels, instances, strict=True)):
            what = f"label map {n}" if batched else "label"
            scene = replace(self._scene(what, one, other), name=name, input=given)
            styles = self._styles_of(scene, style)
            images.append(self._loaded(scene, styles).permute(1, 2, 0).contiguous().numpy())
        return np.stack(images) if batched else images[0]

    def _given(self, image: NDArray[Any] | Tensor | None) -> Tensor | None:
        """Return the input image as float32 C x H x W; None where scenes are made from labels."""
        spec = self._loaded.condition.image
        if spec is None:
            if image is not None:
                raise UsageError(f"image: '{self.name}' makes images of label maps; leave it out")
            return None
        if image is None:
            raise UsageError(
                f"image is missing; '{self.name}' makes images of input images, H x W x "
                f"{spec.channels}, with values from {spec.range[0]:g} to {spec.range[1]:g}"
            )
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32))
        pixels = pixels.unsqueeze(-1) if pixels.dim() == 2 else pixels
        low, high = spec.range
        if (
            pixels.dim() != 3
            or pixels.shape[2] != spec.channels
            or not (low <= pixels.min() and pixels.max() <= high)
        ):
            raise UsageError(
                f"image: of shape {list(pixels.shape)}, values {pixels.min():g} to "
                f"{pixels.max():g}; '{self.name}' needs H x W x {spec.channels}, from {low:g} "
                f"to {high:g}"
            )
        return pixels.permute(2, 0, 1).contiguous()

    def _styles_of(self, scene: Scene, style: StyleChoice | None) -> Tensor | None:
        if self._styles is not None:
            return self._styles.of(scene, style)
        if style is not None:
            raise UsageError(
                f"'{self.name}' has no feature encoder, so its images have no styles; leave the "
                "style out, or use a method with an [encoder], such as 'ours-styles'"
            )
        return None

    def _scene(self, name: str, label: Tensor, instance: Tensor | None) -> Scene:
        height, width = label.shape
        ids = label.unique()
        known = self._loaded.space.known
        bad = [int(one) for one in ids if not 0 <= int(one) < 256 or not known[int(one)]]
        if bad and self.classes:
            raise UsageError(
                f"{name}: holds the ids {', '.join(map(str, bad[:5]))}; '{self.name}' knows "
                f"{min(self.classes)} to {max(self.classes)} of '{self._loaded.space.name}'"
            )
        if instance is not None:
            if instance.shape != label.shape:
                raise UsageError(
                    f"instance: {instance.shape[1]}x{instance.shape[0]}, but the label map is "
                    f"{width}x{height}"
                )
            if int(instance.amin()) < 0 or int(instance.amax()) >= 2**31:
                raise UsageError("instance: ids below 0, or of 2^31 and more")
            instance = instance.to(torch.int32)
        divisor = self._loaded.divisor
        if height % divisor or width % divisor or min(height, width) < 2 * divisor:
            near = [max(2, round(side / divisor)) * divisor for side in (width, height)]
            raise UsageError(
                f"{name}: {width}x{height}; the generator of '{self.name}' needs sides that divide "
                f"by {divisor}, the nearest are {near[0]}x{near[1]}"
            )
        return Scene(name, label.to(torch.uint8), instance, None)


def load_generator(
    source: str | Path,
    benchmark: str | None = None,
    seed: int = 0,
    device: str = "auto",
    workspace: str | Path | None = None,
    data_root: str | Path | None = None,
    precision: Precision = "fp32",
) -> Generator:
    """Return the generator of a method, or that of a folder.

    Example::

        generator = hdbench.load_generator("ours", benchmark="streets")
        image = generator.synthesize(label, instance)  # uint8 H x W x 3

    Args:
        source: a method's name, or the path of its file; or a folder: a run's, that of a shipped
            generator, or one for the model hub (``hdbench export-weights --hub``). A text without a
            slash is a name.
        benchmark: of a method's run; None is what ``hdbench.toml`` says, else Streets.
        seed: of a method's run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workspace: where runs are; None is what ``hdbench.toml`` says, else ``./hdbench-runs``.
        data_root: the dataset's folder; None is what ``hdbench.toml`` says.
        precision: ``fp32``, as images are scored; or ``bf16``, which is quicker on a device with
            instructions for it, and rounds: images are those of ``synthesize --precision bf16``.

    Raises:
        UsageError: there is no such method or folder, or it has no generator; or the device has no
            instructions for bf16.
        CheckpointError: it is not trained to its end, or a file is damaged.
    """
    chosen = choose_device(device)
    require_precision(precision, chosen)
    if isinstance(source, Path) or ("/" in source and not source.endswith(".toml")):
        if benchmark is not None or workspace is not None or data_root is not None or seed:
            raise UsageError(
                f"{source}: a folder says itself what its generator is; leave out benchmark, seed, "
                "workspace and data_root, or name a method"
            )
        return _of_folder(Path(source), chosen, precision)
    root, data = (None if path is None else Path(path) for path in (workspace, data_root))
    bench = open_bench(open_workspace(Path.cwd(), benchmark, data, root))
    method = require_generator(bench.library.method(source))
    weights = generator_file(bench, method, seed)
    given = bench.benchmark.input
    limits = limits_of(bench.benchmark)
    loaded = load_weights_of(method, limits, bench.space, weights, chosen, given, precision)
    styles = None
    if method.encoder is not None:
        path, digest = trained_encoder(bench, method, seed)
        encoder = _encoder(method, limits, path, digest)
        centres = require_styles(bench, method, seed, chosen, DEFAULT_STYLE)
        styles = StyleSource(encoder, centres, str(path.parent), chosen)
    return Generator(loaded, bench.benchmark.size, styles)


def _of_folder(folder: Path, device: torch.device, precision: Precision) -> Generator:
    if (folder / GENERATOR_CARD).is_file():
        return _of_run(folder, device, precision)
    if (folder / HUB_CONFIG).is_file():
        config = read_hub_folder(folder)
        space = _listed_space(config.method.label_space, config.label_channels, config.classes)
        weights = folder / HUB_WEIGHTS
        loaded = load_weights_of(
            config.method, AS_STATED, space, weights, device, precision=precision
        )
        size = Size(width=config.size[0], height=config.size[1])
        digest = config.method.digests.encoder
        return Generator(loaded, size, _styles(folder, config.method, AS_STATED, digest, device))
    shipped = ", ".join(str(path) for path in Library().entries(GENERATORS).values())
    raise UsageError(
        f"{folder}: no generator here; expected a run's folder or a shipped one, with "
        f"{GENERATOR_CARD}, or a folder for the hub, with {HUB_CONFIG} (shipped: {shipped})"
    )


def _of_run(folder: Path, device: torch.device, precision: Precision) -> Generator:
    """Return the generator of a run's folder as its card describes it, wherever the folder is."""
    card = read_generator_card(folder)
    identity = card.identity
    try:
        stated = {key: value for key, value in identity["method"].items() if key != "start"}
        found = from_identity(KINDS[stated["kind"]], stated, title=card.method, source=card.command)
        method = require_generator(found)
        budget = from_identity(Budget, identity["budget"])
        size = from_identity(Size, identity["size"])
        space = identified_space(identity["data"]["label_space"])
        given = identity.get("input")
        image = None if given is None else from_identity(ImageInput, given)
    except (KeyError, TypeError, LibraryError, ValidationError) as error:
        raise CheckpointError(
            f"{folder / GENERATOR_CARD}: of another version of hdbench ({str(error)[:160]})"
        ) from None
    require_weights(folder / GENERATOR_WEIGHTS, card.weights)
    weights = folder / GENERATOR_WEIGHTS
    limits = Limits(budget.width, budget.downsamplings, size)
    loaded = load_weights_of(method, limits, space, weights, device, image, precision)
    return Generator(loaded, size, _styles(folder, method, limits, card.encoder, device))


def _styles(
    folder: Path,
    method: GeneratorMethod,
    limits: Limits,
    digest: str | None,
    device: torch.device,
) -> StyleSource | None:
    """Return what a folder holds of styles: the encoder, and the centres if they are its own."""
    if method.encoder is None:
        return None
    encoder = _encoder(method, limits, folder / ENCODER_WEIGHTS, digest)
    centres = read_styles(folder / STYLES_FILE)
    if isinstance(centres, Stale):
        if not centres.missing:
            raise centres.error("hdbench styles METHOD")
        return StyleSource(encoder, None, str(folder), device)
    if centres.encoder != digest:
        raise CheckpointError(
            f"{folder / STYLES_FILE}: centres of another encoder ({centres.encoder[:12]}) than "
            f"the one beside it ({(digest or 'none')[:12]}).\n"
            "Next: 'hdbench styles METHOD' makes them again"
        )
    return StyleSource(encoder, centres, str(folder), device)


def _encoder(
    method: GeneratorMethod, limits: Limits, path: Path, digest: str | None
) -> FeatureEncoder:
    encoder = build_encoder(method, limits)
    assert encoder is not None
    load_weights(path, encoder, digest)
    return encoder


def _listed_space(name: str, channels: int, classes: dict[str, str]) -> LabelSpace:
    """Return a label space of which ids and names are known, enough to read label maps."""
    entries = [LabelClass(int(key), title, (0, 0, 0), None) for key, title in classes.items()]
    return LabelSpace(name, channels, tuple(entries))


def _maps(value: Any, what: str) -> tuple[list[Tensor], bool]:
    """Return maps of ids, int64 H x W each, and whether they came as a batch."""
    if isinstance(value, list | tuple):
        maps = [_map(one, what) for one in value]
        if not maps or any(one.dim() != 2 for one in maps):
            raise UsageError(f"{what}: expected a sequence of maps, H x W each")
        return maps, True
    found = _map(value, what)
    if found.dim() == 3:
        return list(found), True
    if found.dim() != 2 or not found.numel():
        raise UsageError(f"{what}: of shape {list(found.shape)}; expected H x W or B x H x W ids")
    return [found], False


def _map(value: Any, what: str) -> Tensor:
    if isinstance(value, Image.Image):
        if value.mode not in ("L", "P", "I", "I;16"):
            raise UsageError(
                f"{what}: an image of mode {value.mode}; expected grey values or palette indices "
                "that are ids, not colours"
            )
        value = np.array(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise UsageError(f"{what}: {array.dtype}; expected integer ids")
    return torch.from_numpy(array.astype(np.int64))
