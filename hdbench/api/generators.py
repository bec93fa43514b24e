"""Images from label maps: a generator of a method, a run or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from hdbench.data.labels import LabelClass, LabelSpace, identified_space
from hdbench.data.scene import Scene
from hdbench.errors import CheckpointError, LibraryError, UsageError, counted
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import AS_STATED
from hdbench.runtime.devices import choose_device
from hdbench.runtime.weights import require_weights
from hdbench.schema.base import from_identity
from hdbench.schema.benchmark import Budget, Size
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.hub import HUB_CONFIG, HUB_WEIGHTS
from hdbench.schema.method import KINDS, require_generator
from hdbench.synthesis import LoadedGenerator
from hdbench.synthesis import load_generator as load_weights_of
from hdbench.workspace.bench import open_bench
from hdbench.workspace.hub_folder import read_hub_folder
from hdbench.workspace.paths import open_workspace
from hdbench.workspace.runs import generator_file, read_generator_card

#: A map of ids, H x W: an array or tensor of integers, or an image whose values are the ids.
IdMap = NDArray[Any] | Tensor | Image.Image


class Generator:
    """A generator that is ready to synthesize; ``load_generator`` returns it."""

    def __init__(self, loaded: LoadedGenerator, size: Size) -> None:
        self._loaded = loaded
        #: The name of its method.
        self.name = loaded.method.name
        #: Width and height of the images that it was made for, in pixels; others are possible.
        self.size = (size.width, size.height)
        #: The names of the classes that label maps may hold, by their ids.
        self.classes = {entry.id: entry.name for entry in loaded.space.classes}

    def synthesize(
        self,
        label: IdMap | Sequence[IdMap],
        instance: IdMap | Sequence[IdMap] | None = None,
        style: Any = None,
    ) -> NDArray[np.uint8]:
        """Return the image of a label map, or the images of several.

        The image has the size of the label map, and is equal, byte for byte, to what ``hdbench
        synthesize`` writes for a scene of this size.

        Args:
            label: H x W label ids: an integer array or tensor, or an image with the ids as its
                grey values or palette indices. B x H x W, or a sequence of maps, is a batch.
            instance: ids of instances in the same form, below 2^31; their borders are the boundary
                map. None: the borders of label regions, as for datasets without instance maps.
            style: the styles of the image, for methods with a feature encoder.

        Returns:
            uint8 H x W x 3 RGB; B x H x W x 3 for a batch.

        Raises:
            UsageError: not integers, an unknown id, maps of different sizes, sides that do not suit
                the network, or a style that the method cannot use.
        """
        labels, batched = _maps(label, "label")
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
            scene = self._scene(f"label map {n}" if batched else "label", one, other)
            images.append(self._loaded(scene, style).permute(1, 2, 0).contiguous().numpy())
        return np.stack(images) if batched else images[0]

    def _scene(self, name: str, label: Tensor, instance: Tensor | None) -> Scene:
        height, width = label.shape
        ids = label.unique()
        known = self._loaded.space.known
        bad = [int(one) for one in ids if not 0 <= int(one) < 256 or not known[int(one)]]
        if bad:
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

    Raises:
        UsageError: there is no such method or folder, or it has no generator.
        CheckpointError: it is not trained to its end, or a file is damaged.
    """
    chosen = choose_device(device)
    if isinstance(source, Path) or ("/" in source and not source.endswith(".toml")):
        if benchmark is not None or workspace is not None or data_root is not None or seed:
            raise UsageError(
                f"{source}: a folder says itself what its generator is; leave out benchmark, seed, "
                "workspace and data_root, or name a method"
            )
        return _of_folder(Path(source), chosen)
    root, data = (None if path is None else Path(path) for path in (workspace, data_root))
    bench = open_bench(open_workspace(Path.cwd(), benchmark, data, root))
    method = require_generator(bench.library.method(source))
    weights = generator_file(bench, method, seed)
    loaded = load_weights_of(method, bench.benchmark.budget, bench.space, weights, chosen)
    return Generator(loaded, bench.benchmark.size)


def _of_folder(folder: Path, device: torch.device) -> Generator:
    if (folder / GENERATOR_CARD).is_file():
        return _of_run(folder, device)
    if (folder / HUB_CONFIG).is_file():
        config = read_hub_folder(folder)
        space = _listed_space(config.method.label_space, config.label_channels, config.classes)
        weights = folder / HUB_WEIGHTS
        loaded = load_weights_of(config.method, AS_STATED, space, weights, device)
        return Generator(loaded, Size(width=config.size[0], height=config.size[1]))
    shipped = ", ".join(str(path) for path in Library().entries(GENERATORS).values())
    raise UsageError(
        f"{folder}: no generator here; expected a run's folder or a shipped one, with "
        f"{GENERATOR_CARD}, or a folder for the hub, with {HUB_CONFIG} (shipped: {shipped})"
    )


def _of_run(folder: Path, device: torch.device) -> Generator:
    """Return the generator of a run's folder as its card describes it, wherever the folder is."""
    card = read_generator_card(folder)
    identity = card.identity
    try:
        stated = identity["method"]
        method = from_identity(
            KINDS[stated["kind"]], stated, title=card.method, source=card.command
        )
        budget = from_identity(Budget, identity["budget"])
        size = from_identity(Size, identity["size"])
        space = identified_space(identity["data"]["label_space"])
    except (KeyError, TypeError, LibraryError, ValidationError) as error:
        raise CheckpointError(
            f"{folder / GENERATOR_CARD}: of another version of hdbench ({str(error)[:160]})"
        ) from None
    require_weights(folder / GENERATOR_WEIGHTS, card.weights)
    loaded = load_weights_of(
        require_generator(method), budget, space, folder / GENERATOR_WEIGHTS, device
    )
    return Generator(loaded, size)


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
