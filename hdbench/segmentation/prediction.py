"""One image under a segmenter: sizes, windows, mirror images and scales, then the arg max.

Answers are float K x h x w: a segmenter's logits or probabilities for each of K classes. Memory is
bounded by two such maps at the largest size that an image is seen at (at 2048x1024 and 19 classes,
160 MB each): windows are added up in one, and resized class by class into the arg max.
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

    Args:
        policy: the convention's.
        size: the benchmark's.
        native: height and width of the scene's label map on disk.
    """
    if policy.image_size == "generator":
        return size.height, size.width
    return native if policy.image_size == "native" else parse_size(policy.image_size)


def window_sizes(
    policy: SegmenterInput, segmenter: Segmenter, height: int, width: int
) -> list[tuple[int, int]]:
    """Return the height and width of what a segmenter is given, for each of the scales.

    Args:
        policy: the convention's.
        segmenter: the judge.
        height: of the image, at scale 1.
        width: of the image, at scale 1.
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
    """Check that a segmenter judges what a convention gives it.

    Args:
        segmenter: the judge.
        space: what labels mean.
        size: the benchmark's.
        scoring: the convention.
        native: height and width of a label map on disk, or None where none was read yet; what
            depends on it is then not checked.

    Raises:
        UsageError: the segmenter predicts other classes, or was trained at another size.
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
    """Return uint8 H x W train ids for one image; where classes are equal, the lowest.

    Args:
        segmenter: the judge.
        image: uint8 3 x h x w, at the size of ``seen_size``.
        height: rows of the answer.
        width: columns of the answer.
        policy: what the segmenter is given, and what happens to its answers.

    Raises:
        HdbenchError: the segmenter answers NaN or infinity.
    """
    own_rows, own_columns = image.shape[-2:]
    windows = window_sizes(policy, segmenter, own_rows, own_columns)
    alone = len(policy.scales) == 1
    total: Tensor | None = None
    for scale, window in zip(policy.scales, windows, strict=True):
        rows, columns = _scaled(own_rows, own_columns, scale)
        scaled = resize_photograph(image, rows, columns, policy.image_resize)
        answers = _answers(segmenter, scaled, window, policy)
        if alone:
            return _largest(answers, height, width, policy.logits)
        if total is None:
            total = answers.new_zeros((len(answers), height, width))
        for n, plane in enumerate(answers):
            total[n] += _resized(plane, height, width, policy.logits)
        del answers, plane  # before the next scale's are made
    assert total is not None
    return _largest(total, height, width, policy.logits)


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def _answers(
    segmenter: Segmenter, image: Tensor, window: tuple[int, int], policy: SegmenterInput
) -> Tensor:
    """Return the answers for a uint8 3 x h x w image, averaged over windows that cover it.

    They have the image's size, or that of the segmenter's own answer where one window is all.
    """
    height, width = image.shape[-2:]
    if (height, width) == window:
        return _seen(segmenter, image, policy)
    padded, top, left = _padded(segmenter, image, window)
    rows = _starts(padded.shape[-2], window[0], policy.stride)
    columns = _starts(padded.shape[-1], window[1], policy.stride)
    total: Tensor | None = None
    for row in rows:
        for column in columns:
            place = (slice(row, row + window[0]), slice(column, column + window[1]))
            seen = _seen(segmenter, padded[:, *place], policy)
            if total is None:
                total = seen.new_zeros((len(seen), *padded.shape[-2:]))
            if seen.shape[-2:] != window:
                seen = F.interpolate(seen[None], window, mode="bilinear", align_corners=False)[0]
            total[:, *place] += seen
    assert total is not None
    total /= _coverage(rows, window[0], padded.shape[-2]).to(total.device)[:, None]
    total /= _coverage(columns, window[1], padded.shape[-1]).to(total.device)
    return total[:, top : top + height, left : left + width]


def _seen(segmenter: Segmenter, image: Tensor, policy: SegmenterInput) -> Tensor:
    """Return the answers for what a segmenter is given at once, uint8 3 x h x w."""
    answers = _one_pass(segmenter, image, policy)
    if policy.flip:
        mirrored = _one_pass(segmenter, image.flip(-1), policy)
        answers = answers.add_(mirrored.flip(-1)).div_(2)
    return answers


def _one_pass(segmenter: Segmenter, image: Tensor, policy: SegmenterInput) -> Tensor:
    answers = segmenter.logits(image[None])[0].contiguous()
    if not torch.isfinite(answers.sum()):
        raise HdbenchError(
            "the segmenter's answers are not finite numbers: its weights are damaged, or its card "
            "states another mean or std than it was trained with.\n"
            "Next: 'hdbench segmenter train --restart', or another folder with --segmenter"
        )
    if policy.average == "probabilities":  # softmax, in place
        answers = answers.sub_(answers.amax(dim=0)).exp_()
        answers = answers.div_(answers.sum(dim=0))
    return answers


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


def _starts(side: int, window: int, stride: str) -> list[int]:
    """Return where windows begin along a side; the last one is moved inwards to end with it."""
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


def _largest(answers: Tensor, height: int, width: int, operator: str) -> Tensor:
    """Return uint8 height x width: the class of the largest answer, resized class by class."""
    best = _resized(answers[0], height, width, operator).clone()
    winner = torch.zeros(height, width, dtype=torch.uint8, device=answers.device)
    for n in range(1, len(answers)):
        plane = _resized(answers[n], height, width, operator)
        winner.masked_fill_(plane > best, n)
        torch.maximum(best, plane, out=best)
    return winner.cpu()
