"""Input images: decoding them without loss, and showing them.

8-bit images and 16-bit grey ones are decoded by Pillow, which would silently round 16-bit colour
PNGs to 8 bits: those are refused. TIFFs of any depth and number of channels are decoded by
tifffile, arrays by NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import Scene
from hdbench.data.sheets import Cell
from hdbench.errors import DataError
from hdbench.schema.image_input import ImageInput

_PLAIN_MODES = ("L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F")


def read_input(path: Path, spec: ImageInput) -> Tensor:
    """Return an input image as float32 C x H x W, with the values of its file.

    Raises:
        DataError: it is missing or damaged, or has other channels or values than stated.
    """
    array = _decoded(path)
    channels = array.shape[2]
    if channels != spec.channels:
        raise DataError(
            f"{path}: {channels} channels ({array.shape[1]}x{array.shape[0]}); "
            f"expected [input] channels = {spec.channels}"
        )
    low, high = spec.range
    if np.issubdtype(array.dtype, np.integer) and np.iinfo(array.dtype).max < high:
        raise DataError(
            f"{path}: {array.dtype} values reach at most {np.iinfo(array.dtype).max}; "
            f"expected [input] range = {_range(spec)}, so the range or the file is wrong"
        )
    if not np.isfinite(array).all():
        raise DataError(f"{path}: values that are not finite; expected {_range(spec)}")
    least, most = float(array.min()), float(array.max())
    if least < low or most > high:
        raise DataError(
            f"{path}: values from {least:g} to {most:g}; expected [input] range = {_range(spec)}"
        )
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))


def input_digest(path: Path) -> str:
    """Return the SHA-256 of an input image's pixels: dtype, shape and values.

    Raises:
        DataError: it is missing or damaged.
    """
    array = np.ascontiguousarray(_decoded(path))
    facts = f"{array.dtype.str} {list(array.shape)}\n".encode()
    return hashlib.sha256(facts + array.tobytes()).hexdigest()


def scaled_input(pixels: Tensor, spec: ImageInput) -> Tensor:
    """Return an input image of any shape in [-1, 1]: the ends of its range become -1 and 1."""
    low, high = spec.range
    return (pixels - low) * (2 / (high - low)) - 1


def paint_input(pixels: Tensor, spec: ImageInput) -> Tensor:
    """Return an input image C x H x W as a uint8 3 x H x W picture.

    Its first three channels are red, green and blue; with fewer than three, the first is grey.
    """
    shown = pixels[:3] if pixels.shape[0] >= 3 else pixels[:1].expand(3, -1, -1)
    shown = (scaled_input(shown, spec) + 1) * 127.5
    return shown.round().clamp(0, 255).to(torch.uint8).contiguous()


def source_cell(scene: Scene, space: LabelSpace) -> Cell:
    """Return the picture of what a scene is made from: its input image, else its labels."""
    if scene.input is not None and scene.input_spec is not None:
        return Cell(f"input of {scene.name}", paint_input(scene.input, scene.input_spec))
    return Cell(f"labels of {scene.name}", space.paint(scene.label))


def _range(spec: ImageInput) -> str:
    return f"[{spec.range[0]:g}, {spec.range[1]:g}]"


def _decoded(path: Path) -> np.ndarray:
    """Return a file as H x W x C, in the type in which it is stored."""
    decoders: dict[str, Callable[[Path], np.ndarray]] = {
        ".npy": _decoded_array,
        ".tif": _decoded_tiff,
        ".tiff": _decoded_tiff,
    }
    decode = decoders.get(path.suffix.lower(), _decoded_picture)
    try:
        array = decode(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (Image.DecompressionBombError, OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be decoded as an input image ({str(error).splitlines()[0]})"
        ) from None
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "uif":
        raise DataError(
            f"{path}: {array.dtype} array of shape {array.shape}; expected numbers, "
            "height x width or height x width x channels"
        )
    return array


def _decoded_array(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _decoded_tiff(path: Path) -> np.ndarray:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            array, axes = series.asarray(), series.axes
    except OSError:
        raise
    except Exception as error:  # a damaged TIFF raises errors of many kinds
        raise ValueError(f"{type(error).__name__}: {error}") from None
    planes = array.ndim == 3 and axes.endswith("YX")  # one after the other
    return array.transpose(1, 2, 0) if planes else array


def _decoded_picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and _is_16_bit(path):
            raise ValueError("16-bit colour PNG would lose 8 bits; save it as TIFF or .npy")
        image.load()
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode not in _PLAIN_MODES:
        raise ValueError(f"mode {image.mode}; expected grey, RGB or RGBA")
    return np.array(image)


def _is_16_bit(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(25)[24:] == b"\x10"  # the bit depth in the header of a PNG
