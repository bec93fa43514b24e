"""Scores of single images, from stored results, to compare with preferences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hdbench.errors import UsageError
from hdbench.evaluation.confusion import scores_of
from hdbench.evaluation.recounting import counting_of
from hdbench.provenance import differing_fields
from hdbench.workspace.results import load_result


def image_scores(
    files: Sequence[Path], methods: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return pixel accuracy and mean IoU of each image, by metric, method and scene.

    ``files`` are stored results (JSON), one per method, with equal choices. Pixels are counted
    under the convention that the result states. The mean IoU of an image is over the classes in it.

    Raises:
        UsageError: a result is of a method outside the study or of one that another file has, or
            two were scored under different choices.
        HdbenchError: a file is missing or damaged, or counts by unknown policies.
    """
    found: dict[str, dict[str, dict[str, float]]] = {"pixel accuracy": {}, "mean IoU": {}}
    first = None
    for path in files:
        result = load_result(path)
        if result.method not in methods or result.method in found["mean IoU"]:
            problem = "twice" if result.method in methods else "not in this study"
            raise UsageError(
                f"{path}: method '{result.method}' is {problem}; expected one result of each of "
                f"{', '.join(methods)}"
            )
        first = first or result
        if result.fingerprint != first.fingerprint:
            lines = "\n".join(
                f"  {line}" for line in differing_fields(first.choices, result.choices)
            )
            raise UsageError(
                f"{path}: scored under other choices than {files[0]}:\n{lines}\n"
                "Next: 'hdbench evaluate' scores both alike"
            )
        counting = counting_of(result)
        accuracy = found["pixel accuracy"].setdefault(result.method, {})
        mean_iou = found["mean IoU"].setdefault(result.method, {})
        for scene, matrix in zip(result.scenes, result.matrices, strict=True):
            scores = scores_of(matrix, counting)
            for table, value in ((accuracy, scores.pixel_accuracy), (mean_iou, scores.mean_iou)):
                if not math.isnan(value):
                    table[scene] = value
    return found
