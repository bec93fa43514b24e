"""A segmenter that scores images, and its card."""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from hdbench.data.labels import LabelSpace
from hdbench.errors import CheckpointError, UsageError, suggestion
from hdbench.library import CARD_FILE
from hdbench.networks.pspnet import OUTPUT_STRIDE, PSPNetDesign, enlarged
from hdbench.provenance import digest, file_digest
from hdbench.runtime.weights import require_digest
from hdbench.schema.record import parse_json
from hdbench.storage import cannot_write, write_atomically

WEIGHTS_FILE = "model.safetensors"
#: What the network of some architectures is built from, beside the weights.
CONFIG_FILE = "config.json"
#: The module of ``hdbench.segmentation.adapters`` that loads each ``architecture`` of a card.
ADAPTERS = {
    "pspnet": "smp_models",
    "unet": "smp_models",
    "smp": "smp_models",
    "pspnet-mmseg": "published",
    "pspnet-semseg": "published",
    "segformer": "segformer",
    "torchscript": "torchscript",
    "predictions": "predictions",
}
#: Those that hdbench trains itself.
TRAINED = ("pspnet", "unet")
#: Those that are built from ``CONFIG_FILE``, whose digest is on the card.
CONFIGURED = ("smp", "segformer")


@dataclass(frozen=True)
class SegmenterCard:
    """What a segmenter is, what it expects, and its declared scores."""

    architecture: str
    encoder: str
    #: Number of the encoder's stages in use (None if the architecture has no such choice), and the
    #: factor by which its input is enlarged (PSPNetDesign).
    depth: int | None
    enlarge: int
    #: The label space whose train ids it predicts.
    label_space: str
    classes: list[str]
    #: Of the channels, in ``order``, in [0, ``peak``].
    mean: list[float]
    std: list[float]
    #: Width and height of the images that it was trained on and scores, in pixels.
    window: list[int]
    #: The dataset and split that it learnt from, and the digest of their files.
    trained_on: str
    scenes_digest: str
    #: The recipe, for people.
    training: dict[str, Any]
    #: SHA-256 over all tensors as fp32, the precision in which they are used.
    weights: str
    #: Scores of photographs, once measured: scoring convention, split, accuracy, mean IoU.
    oracle: dict[str, Any] | None
    #: Order of the channels that it reads, ``RGB`` or ``BGR``.
    order: str = "RGB"
    #: The value of 255 before the mean is subtracted.
    peak: float = 1.0
    #: ``[n, r]``: it reads images whose sides are multiples of n, plus r.
    sides: list[int] = field(default_factory=lambda: [OUTPUT_STRIDE, 0])
    #: SHA-256 of the file that its network is built from, where the card does not say all of it.
    config: str | None = None
    #: Where an imported segmenter came from: file or repository, its digest.
    source: dict[str, Any] | None = None
    #: Scores that its authors declare, with size and way of scoring.
    published: dict[str, Any] | None = None

    @property
    def design(self) -> PSPNetDesign:
        """The network of a ``pspnet``."""
        assert self.depth is not None
        return PSPNetDesign(self.encoder, self.depth, self.enlarge, len(self.classes))

    @property
    def choices(self) -> dict[str, Any]:
        """The fields that change a score, as JSON values; they enter the fingerprint."""
        choices = {
            "architecture": self.architecture,
            "encoder": self.encoder,
            "depth": self.depth,
            "enlarge": self.enlarge,
            "weights": self.weights,
            "classes": self.classes,
            "mean": self.mean,
            "std": self.std,
            "input": f"{self.order} in [0, {self.peak:g}]",
            "window": self.window,
            "dtype": "float32",
        }
        return choices if self.config is None else {**choices, "config": self.config}

    @property
    def short_name(self) -> str:
        """Eight digits that tell it from other segmenters, for tables and file names."""
        return (self.weights if self.config is None else digest([self.weights, self.config]))[:8]

    @property
    def mean_pixel(self) -> Tensor:
        """uint8 [3]: the mean as an RGB colour, rounded."""
        mean = torch.tensor(self.mean) * (255 / self.peak)
        return (mean.flip(0) if self.order == "BGR" else mean).round().clamp(0, 255).byte()

    def problem(self) -> str | None:
        """Return what is impossible in the card, or None."""
        if self.architecture not in ADAPTERS:
            hint = suggestion(self.architecture, ADAPTERS)
            return f"architecture '{self.architecture}' is not known{hint}"
        if self.architecture in TRAINED and not isinstance(self.depth, int):
            return f"depth = {self.depth!r}; expected a number of the encoder's stages"
        if self.order not in ("RGB", "BGR"):
            return f"order = {self.order!r}; expected RGB or BGR"
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            return f"mean = {self.mean}, std = {self.std}; expected three numbers each, std above 0"
        if len(self.sides) != 2 or not 0 <= self.sides[1] < self.sides[0]:
            return f"sides = {self.sides}; expected a divisor and a smaller rest"
        if not self.peak > 0:
            return f"peak = {self.peak!r}; expected 1.0 or 255.0"
        return None


class Segmenter:
    """Predicts train ids; always in evaluation mode and fp32.

    ``network`` maps normalised images, enlarged as the card says, to logits ``B x K x h x w``.
    """

    def __init__(self, network: nn.Module, card: SegmenterCard, device: torch.device) -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.card = card
        self.device = device
        mean, std = (torch.tensor(values, device=device) for values in (card.mean, card.std))
        self._mean = (mean / card.peak).view(1, 3, 1, 1)
        self._std = (std / card.peak).view(1, 3, 1, 1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return float logits ``B x K x h x w`` for uint8 RGB images ``B x 3 x H x W``.

        The size h x w depends on the architecture: that of the images for PSPNets and U-Nets, a
        quarter of it for SegFormers. The caller resizes. Raises UsageError if a side does not fit
        the card's ``sides``, or the network is in training mode.
        """
        height, width = images.shape[-2:]
        multiple, rest = self.card.sides
        if height % multiple != rest or width % multiple != rest:
            wanted = f"divide by {multiple}" + (f" with a rest of {rest}" if rest else "")
            raise UsageError(
                f"the segmenter reads sides that {wanted}, not {width}x{height}; "
                "change the benchmark's [size]"
            )
        if any(module.training for module in self.network.modules()):
            raise UsageError(
                "the segmenter is in training mode: batch norm and dropout would answer otherwise "
                "each time; call its network's eval() before scoring"
            )
        images = images.to(self.device)
        if self.card.order == "BGR":
            images = images.flip(1)
        inputs = normalised(images, self._mean, self._std)
        return self.network(enlarged(inputs, self.card.enlarge))

    def accepts(self, space: LabelSpace, width: int, height: int) -> None:
        """Raise UsageError unless this segmenter scores images of a size in a label space.

        At another size, the pyramid's bins and the sizes of objects would differ from those it was
        trained on.
        """
        names = [entry.name for entry in space.scored]
        if self.card.label_space != space.name or self.card.classes != names:
            raise UsageError(
                f"this segmenter predicts '{self.card.label_space}' "
                f"({', '.join(self.card.classes)}), the benchmark's labels are '{space.name}' "
                f"({', '.join(names)}); its predictions would mean other classes"
            )
        if self.card.window != [width, height]:
            raise UsageError(
                "this segmenter was trained at {}x{}, ".format(*self.card.window)
                + f"the benchmark's images are {width}x{height}; pooling regions and object "
                "sizes would differ, so it is only evaluated at its training size"
            )


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return uint8 RGB images as floats minus the mean, over the standard deviation."""
    return (images.float() / 255.0 - mean) / std


def save_segmenter(folder: Path, network: smp.PSPNet | smp.Unet, card: SegmenterCard) -> None:
    """Write a segmenter in segmentation-models-pytorch's own layout, and its card, last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hub mixin announces its model card
        try:
            network.save_pretrained(folder)  # pyright: ignore[reportCallIssue]
        except OSError as error:
            raise cannot_write(folder, error) from error
    write_card(folder, card)


def write_card(folder: Path, card: SegmenterCard) -> None:
    """Write or replace a segmenter's card."""
    write_atomically(folder / CARD_FILE, (json.dumps(asdict(card), indent=2) + "\n").encode())


def load_segmenter(folder: Path, device: torch.device, trust: bool = False) -> Segmenter:
    """Return the segmenter of a folder; nothing is downloaded.

    ``trust`` allows a segmenter whose file is a program (``torchscript``) to run.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the card, or the segmenter runs
            foreign code and ``trust`` is off.
    """
    card = read_card(folder)
    if card.architecture in CONFIGURED:
        _require_config(folder / CONFIG_FILE, card)
    adapter = importlib.import_module(
        f"hdbench.segmentation.adapters.{ADAPTERS[card.architecture]}"
    )
    return adapter.load(folder, card, device, trust)


def _require_config(path: Path, card: SegmenterCard) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; 'hdbench segmenter import' writes it")
    if card.config is None:
        raise CheckpointError(
            f"{path.parent / CARD_FILE}: config is missing, so nothing says which {CONFIG_FILE} "
            "the scores are of.\nNext: 'hdbench segmenter import' again"
        )
    require_digest(path, file_digest(path), card.config)


def read_card(folder: Path) -> SegmenterCard:
    """Return the card of a segmenter's folder; raises CheckpointError if there is no valid one."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no segmenter here; expected a folder with {CARD_FILE} and "
            f"{WEIGHTS_FILE}; 'hdbench segmenter import' makes one from foreign weights"
        )
    return card_of(path.read_bytes(), str(path))


def card_of(content: bytes, where: str) -> SegmenterCard:
    """Return the card that a file's content is; raises CheckpointError if it is none."""
    try:
        card = SegmenterCard(**parse_json(content))
        problem = card.problem()
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: not a segmenter's card ({error})") from None
    if problem is not None:
        raise CheckpointError(f"{where}: {problem}")
    return card
