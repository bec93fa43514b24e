"""A sheet of one scene in several styles, and pictures of one instance on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from hdbench.data.scene import boundary_map, resize_photograph
from hdbench.data.sheets import Cell, contact_sheet

_COLUMNS = 5  # ten styles fill two rows
_OUTLINE = (255, 230, 0)
_MARGIN = 0.25  # of a crop, on each side, in sides of the instance


def style_sheet(heading: Sequence[Cell], cells: Sequence[Sequence[Cell]]) -> Image.Image:
    """Return a sheet: a row of headings, then rows of styles.

    A style has one picture, or several that stand below each other.
    """
    rows = [list(heading)]
    for first in range(0, len(cells), _COLUMNS):
        group = cells[first : first + _COLUMNS]
        rows += [[pictures[n] for pictures in group] for n in range(len(group[0]))]
    return contact_sheet(rows)


def outlined(image: Tensor, mask: Tensor) -> Tensor:
    """Return a uint8 3 x H x W image with a line around a region, bool H x W, just outside it."""
    edge = boundary_map(mask[None].long())[0, 0].bool() & ~mask
    return torch.where(edge, torch.tensor(_OUTLINE, dtype=torch.uint8)[:, None, None], image)


def cropped(image: Tensor, mask: Tensor) -> Tensor:
    """Return what is around a region of an image, enlarged to at most the size of the image."""
    height, width = mask.shape
    rows, columns = (torch.nonzero(mask.any(dim=n)).flatten().tolist() for n in (1, 0))
    down = round(_MARGIN * (rows[-1] + 1 - rows[0])) + 1
    across = round(_MARGIN * (columns[-1] + 1 - columns[0])) + 1
    top, bottom = max(0, rows[0] - down), min(height, rows[-1] + 1 + down)
    left, right = max(0, columns[0] - across), min(width, columns[-1] + 1 + across)
    factor = min(height / (bottom - top), width / (right - left))
    size = round(factor * (bottom - top)), round(factor * (right - left))
    return resize_photograph(image[:, top:bottom, left:right], *size)
