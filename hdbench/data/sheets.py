"""Contact sheets: captioned pictures in a grid."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from hdbench.storage import write_atomically

_MARGIN = 6
_CAPTION = 16


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet."""

    caption: str
    #: uint8 3 x H x W.
    pixels: Tensor


def to_pil(pixels: Tensor) -> Image.Image:
    """Return a uint8 3 x H x W tensor as a picture."""
    return Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))


def png_bytes(pixels: Tensor) -> bytes:
    """Return a uint8 3 x H x W tensor as a PNG file's content, without metadata."""
    return encode_png(to_pil(pixels))


def encode_png(
    picture: Image.Image,
    optimize: bool = False,
    pnginfo: PngImagePlugin.PngInfo | None = None,
) -> bytes:
    """Return a picture of any mode as a PNG file's content, with texts if there are any."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=optimize, pnginfo=pnginfo)
    return buffer.getvalue()


def encode_jpeg(picture: Image.Image, quality: int = 92) -> bytes:
    """Return a picture as a JPEG file's content, without chroma subsampling."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def contact_sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Return captioned pictures in rows; columns are as wide as their widest picture."""
    count = max(len(row) for row in rows)
    widths = [
        max(row[n].pixels.shape[2] for row in rows if len(row) > n) + _MARGIN for n in range(count)
    ]
    heights = [max(cell.pixels.shape[1] for cell in row) + _MARGIN + _CAPTION for row in rows]
    sheet = Image.new("RGB", (sum(widths) + _MARGIN, sum(heights) + _MARGIN), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    top = _MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = _MARGIN
        for cell, width in zip(row, widths, strict=False):
            caption = cell.caption
            while caption and draw.textlength(caption, font=font) > width - _MARGIN:
                caption = caption[:-1]
            draw.text((left, top), caption, fill=(230, 230, 230), font=font)
            sheet.paste(to_pil(cell.pixels), (left, top + _CAPTION))
            left += width
        top += height
    return sheet


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, or as JPEG if the path has another suffix."""
    if path.suffix.lower() == ".png":
        write_atomically(path, encode_png(sheet))
        return
    write_atomically(path, encode_jpeg(sheet, quality=90))
