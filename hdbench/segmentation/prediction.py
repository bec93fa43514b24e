"""One image under a segmenter: sizes, windows, mirror images and scales, then the arg max.

Outputs are float K x h x w: logits or probabilities for each of K classes. Memory is bounded by two
such maps at the largest size of an image (160 MB each at 2048x1024 and 19 classes): windows are
added up in one, and resized class by class into the arg max.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import resize_nearest, resize_photograph
from hdbench.errors import HdbenchError, UsageError
from hdbench.schema.benchmark import Size
from hdbench.schema.scoring import Scoring, SegmenterInput, parse_size
from hdbench.segmentation.segmenter import Segmenter


def seen_size(policy: SegmenterInput, size: Size, native: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width at which an image is seen at scale 1.

    ``native`` is height and width of the scene's label map on disk.
    """
    if policy.image_size == "generator":
        return size.height, size.width
    return native if policy.image_size == "native" else parse_size(policy.image_size)


def window_sizes(
    policy: SegmenterInput, segmenter: Segmenter, height: int, width: int
) -> list[tuple[int, int]]:
    """Return height and width of the segmenter's input at each scale.

    ``height`` and ``width`` are the image's at scale 1.
    """
    match policy.window:
        case "whole":
            return [_scaled(height, width, scale) for scale in policy.scales]
        case "training":
            columns, rows = segmenter.card.window
            return [(rows, columns)] * len(policy.scales)
        case size:
            return [parse_size(size)] * len(policy.scales)


def require_fitting(
    segmenter: Segmenter,
    space: LabelSpace,
    size: Size,
    scoring: Scoring,
    native: tuple[int, int] | None = None,
) -> None:
    """Check that a segmenter can score images under a convention; raises UsageError if not.

    ``native`` is height and width of a label map on disk; without it, what depends on it is not
    checked.
    """
    policy = scoring.segmenter
    if native is None:
        if policy.image_size == "native" and policy.window == "whole":
            return
        native = (size.height, size.width)
    height, width = seen_size(policy, size, native)
    for rows, columns in window_sizes(policy, segmenter, height, width):
        try:
            segmenter.accepts(space, columns, rows)
        except UsageError as error:
            raise UsageError(f"scoring '{scoring.name}': {error}") from None


@torch.no_grad()
def predict(
    segmenter: Segmenter, image: Tensor, height: int, width: int, policy: SegmenterInput
) -> Tensor:
    """Return uint8 ``height`` x ``width`` train ids for one image; the lowest of equal classes.

    The image is uint8 3 x h x w, at the size of ``seen_size``. Raises HdbenchError if the
    segmenter's output is NaN or infinite.
    """
    own_rows, own_columns = image.shape[-2:]
    windows = window_sizes(policy, segmenter, own_rows, own_columns)
    alone = len(policy.scales) == 1
    total: Tensor | None = None
    for scale, window in zip(policy.scales, windows, strict=True):
        rows, columns = _scaled(own_rows, own_columns, scale)
        scaled = resize_photograph(image, rows, columns, policy.image_resize)
        outputs = _averaged_over_windows(segmenter, scaled, window, policy)
        if alone:
            return _arg_max(outputs, height, width, policy.logits)
        if total is None:
            total = outputs.new_zeros((len(outputs), height, width))
        for n, plane in enumerate(outputs):
            total[n] += _resized(plane, height, width, policy.logits)
        del outputs, plane  # before the next scale's are made
    assert total is not None
    return _arg_max(total, height, width, policy.logits)


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def _averaged_over_windows(
    segmenter: Segmenter, image: Tensor, window: tuple[int, int], policy: SegmenterInput
) -> Tensor:
    """Return the outputs for a uint8 3 x h x w image, averaged over windows that cover it.

    They have the image's size, or the size of the segmenter's output if one window is the image.
    """
    height, width = image.shape[-2:]
    if (height, width) == window:
        return _averaged_over_flip(segmenter, image, policy)
    padded, top, left = _padded(segmenter, image, window)
    rows = window_starts(padded.shape[-2], window[0], policy.stride)
    columns = window_starts(padded.shape[-1], window[1], policy.stride)
    total: Tensor | None = None
    for row in rows:
        for column in columns:
            place = (slice(row, row + window[0]), slice(column, column + window[1]))
            seen = _averaged_over_flip(segmenter, padded[:, *place], policy)
            if total is None:
                total = seen.new_zeros((len(seen), *padded.shape[-2:]))
            if seen.shape[-2:] != window:
                seen = F.interpolate(seen[None], window, mode="bilinear", align_corners=False)[0]
            total[:, *place] += seen
    assert total is not None
    total /= _coverage(rows, window[0], padded.shape[-2]).to(total.device)[:, None]
    total /= _coverage(columns, window[1], padded.shape[-1]).to(total.device)
    return total[:, top : top + height, left : left + width]


def _averaged_over_flip(segmenter: Segmenter, image: Tensor, policy: SegmenterInput) -> Tensor:
    """Return the outputs for one window, uint8 3 x h x w."""
    outputs = _output(segmenter, image, policy)
    if policy.flip:
        mirrored = _output(segmenter, image.flip(-1), policy)
        outputs = outputs.add_(mirrored.flip(-1)).div_(2)
    return outputs


def _output(segmenter: Segmenter, image: Tensor, policy: SegmenterInput) -> Tensor:
    outputs = segmenter.logits(image[None])[0].contiguous()
    if not torch.isfinite(outputs.sum()):
        raise HdbenchError(
            "the segmenter's output is not finite: its weights are damaged, or its card states "
            "another mean or std than it was trained with.\n"
            "Next: 'hdbench segmenter train --restart', or another folder with --segmenter"
        )
    if policy.average == "probabilities":  # softmax, in place
        outputs = outputs.sub_(outputs.amax(dim=0)).exp_()
        outputs = outputs.div_(outputs.sum(dim=0))
    return outputs


def _padded(
    segmenter: Segmenter, image: Tensor, window: tuple[int, int]
) -> tuple[Tensor, int, int]:
    """Return an image at least as large as a window, and the row and column where it begins."""
    height, width = image.shape[-2:]
    rows, columns = max(height, window[0]), max(width, window[1])
    if (rows, columns) == (height, width):
        return image, 0, 0
    canvas = segmenter.card.mean_pixel.view(3, 1, 1).repeat(1, rows, columns)
    top, left = (rows - height) // 2, (columns - width) // 2
    canvas[:, top : top + height, left : left + width] = image
    return canvas, top, left


def window_starts(side: int, window: int, stride: str) -> list[int]:
    """Return where windows begin along a side; the last one is moved inwards to fit."""
    step = math.ceil(Fraction(stride) * window)
    count = math.ceil((side - window) / step) + 1
    return [min(n * step, side - window) for n in range(count)]


def _coverage(starts: list[int], window: int, side: int) -> Tensor:
    """Return float [side]: how many windows cover each pixel along a side."""
    counts = torch.zeros(side)
    for start in starts:
        counts[start : start + window] += 1
    return counts


def _resized(plane: Tensor, height: int, width: int, operator: str) -> Tensor:
    """Return a float h x w plane at another size."""
    if plane.shape == (height, width):
        return plane
    if operator == "nearest":
        return resize_nearest(plane, height, width)
    aligned = operator == "bilinear-aligned"
    size = (height, width)
    return F.interpolate(plane[None, None], size, mode="bilinear", align_corners=aligned)[0, 0]


def _arg_max(outputs: Tensor, height: int, width: int, operator: str) -> Tensor:
    """Return uint8 height x width: the class of the largest output, resized class by class."""
    best = _resized(outputs[0], height, width, operator).clone()
    winner = torch.zeros(height, width, dtype=torch.uint8, device=outputs.device)
    for n in range(1, len(outputs)):
        plane = _resized(outputs[n], height, width, operator)
        winner.masked_fill_(plane > best, n)
        torch.maximum(best, plane, out=best)
    return winner.cpu()
