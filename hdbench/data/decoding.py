"""Decoding of image files, with errors that name the file."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hdbench.errors import DataError


def decoded(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the image of a file, or of its bytes if they are passed, with its pixels loaded.

    Raises:
        DataError: it is missing, truncated, not an image, or far too large.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise DataError(
            f"{path}: cannot be decoded ({error}); {size} bytes on disk, "
            "so probably truncated or not an image: copy it again"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: far too many pixels to be one scene ({error})") from None


def photograph_size(path: Path) -> str:
    """Return the size of a photograph like ``480x360``, width first, without decoding pixels."""
    try:
        with Image.open(path) as image:
            return f"{image.width}x{image.height}"
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from None
