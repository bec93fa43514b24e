"""Strict decoding of images that another program made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hdbench.errors import DataError

_ORIENTATION = 0x0112  # the EXIF tag
_BITS_PER_SAMPLE = 258  # the TIFF tag
_PNG_BIT_DEPTH = 24  # the byte of a PNG file that says it (ISO/IEC 15948, Sec. 11.2.1)
#: Descriptions of unsupported modes of Pillow.
_MODES = {
    "1": "1-bit black and white",
    "L": "8-bit grey; a label map?",
    "P": "palette indices; a label map?",
    "I": "integer grey, 16 or 32 bits",
    "I;16": "16-bit grey; an instance map?",
    "I;16B": "16-bit grey; an instance map?",
    "F": "floating-point grey",
}
_EXPECTED = "expected 8-bit RGB"


@dataclass(frozen=True)
class ForeignImage:
    """A decoded image."""

    #: uint8 3 x H x W RGB.
    pixels: Tensor
    #: ``PNG``, ``JPEG``, ``TIFF``, ``BMP``, ``NPY`` or ``NPY float``.
    format: str
    #: Whether the format is lossy, so that the scored pixels are not the synthesized ones.
    lossy: bool


def read_foreign_image(path: Path, width: int, height: int) -> ForeignImage:
    """Return an image of exactly the expected size, 8-bit RGB; raises DataError for any other.

    Formats are PNG, TIFF, BMP, JPEG and NumPy arrays; the content counts, not the extension (but
    ``.npy``). Float arrays (H x W x 3) from 0 to 1 are rounded to 8 bits. Refused are files that
    are empty, truncated, of another format, mode, range or depth, with an alpha channel or several
    frames, or whose EXIF data ask for a rotation.
    """
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: empty (0 bytes)")
    if path.suffix.lower() == ".npy":
        return _array(path, width, height)
    try:
        with Image.open(path) as image:
            lossy = _require_form(path, image)
            _require_size(path, image.width, image.height, width, height)
            image.load()
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            return ForeignImage(pixels, str(image.format), lossy)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        reason = str(error).replace(str(path), "it")
        raise DataError(
            f"{path}: cannot be decoded ({reason}); {size} bytes on disk, "
            "probably truncated or not an image"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: far too many pixels; expected {width}x{height}") from None


def _require_form(path: Path, image: Image.Image) -> bool:
    """Check format, mode and depth before decoding pixels; return whether the format is lossy."""
    lossy = image.format == "JPEG" or image.info.get("compression") in ("jpeg", "webp")
    if image.format not in ("PNG", "TIFF", "BMP", "JPEG"):
        raise DataError(
            f"{path}: format {image.format}; expected PNG (TIFF, BMP, NPY and, flagged, JPEG "
            "are read too)"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path}: {getattr(image, 'n_frames', 1)} frames; expected one image")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        raise DataError(f"{path}: has an alpha channel (mode {image.mode}); {_EXPECTED}")
    if image.mode != "RGB":
        what = _MODES.get(image.mode, "not RGB")
        raise DataError(f"{path}: mode {image.mode} ({what}); {_EXPECTED}")
    bits = _bits(path, image)
    if bits != 8:
        raise DataError(f"{path}: {bits} bits per channel; {_EXPECTED}, rounded by who made it")
    turned = image.getexif().get(_ORIENTATION, 1)
    if turned not in (0, 1):
        raise DataError(
            f"{path}: its EXIF data ask for the image to be turned (orientation {turned}); "
            "store it as it is meant to be seen"
        )
    return lossy


def _bits(path: Path, image: Image.Image) -> int:
    """Return the bits per channel; Pillow shows 16-bit colour as if it had 8."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(_PNG_BIT_DEPTH + 1)[_PNG_BIT_DEPTH]
    tags = getattr(image, "tag_v2", None)
    return 8 if tags is None else max(tags.get(_BITS_PER_SAMPLE, (8,)))


def _require_size(path: Path, width: int, height: int, wanted: int, rows: int) -> None:
    if (width, height) == (wanted, rows):
        return
    transposed = "; width and height are transposed" if (height, width) == (wanted, rows) else ""
    raise DataError(f"{path}: {width}x{height}; expected {wanted}x{rows}{transposed}")


def _array(path: Path, width: int, height: int) -> ForeignImage:
    try:
        # Mapped, so that a header which claims more than the file holds allocates nothing.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError) as error:
        raise DataError(f"{path}: cannot be read as a NumPy array ({error})") from None
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.shape[2] != 3:
        shape = getattr(values, "shape", "an archive")
        raise DataError(f"{path}: shape {shape}; expected ({height}, {width}, 3), RGB last")
    _require_size(path, values.shape[1], values.shape[0], width, height)
    if values.dtype == np.uint8:
        return ForeignImage(_first_channel(np.array(values)), "NPY", lossy=False)
    if values.dtype.kind != "f":
        raise DataError(f"{path}: {values.dtype} values; {_EXPECTED}, or floats from 0 to 1")
    if not np.isfinite(values).all():
        raise DataError(f"{path}: holds values that are not finite; expected floats from 0 to 1")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise DataError(
            f"{path}: float values from {low:.4g} to {high:.4g}; expected 0 to 1"
            f"{_likely_range(low, high)}"
        )
    rounded = np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    return ForeignImage(_first_channel(rounded), "NPY float", lossy=False)


def _likely_range(low: float, high: float) -> str:
    if low < 0 and low >= -1 and high <= 1:
        return "; a network's range of -1 to 1? then store (x + 1) / 2"
    if low >= 0 and high <= 255:
        return "; 0 to 255? then store 8-bit integers"
    return ""


def _first_channel(values: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()
