"""Stored results made again from the beginning: a few images synthesized, scored and compared."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hdbench.data.layouts import spread
from hdbench.errors import HdbenchError, listing
from hdbench.provenance import file_digest
from hdbench.schema.method import Method
from hdbench.schema.result import Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import count_images, read_truths
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.synthesize import synthesize_again
from hdbench.workspace.bench import Bench


@dataclass(frozen=True)
class Recheck:
    """One image made and scored again."""

    scene: str
    #: Whether the image is the same, byte for byte.
    same_image: bool
    #: Whether the matrix is.
    same_matrix: bool
    #: The stored matrix's sum, and the pixels of the label map that the convention counts.
    counted: int
    pixels: int

    @property
    def holds(self) -> bool:
        """Whether the stored matrix was reproduced and counts each pixel once."""
        return self.same_matrix and self.counted == self.pixels


def recheck(
    bench: Bench,
    method: Method,
    result: Result,
    scoring: Scoring,
    count: int,
    segmenter: Segmenter,
    device: torch.device,
) -> list[Recheck]:
    """Synthesize some images of a result anew, score them anew, and compare with what is stored.

    ``scoring`` is the result's convention, that of ``native_scoring`` for the native oracle's.
    ``count`` scenes are spread evenly over the split.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
        DataError: an image or a label map is damaged.
    """
    chosen = spread(bench.dataset.test_scenes, count)
    numbers = [result.scenes.index(scene.name) for scene in chosen]
    with tempfile.TemporaryDirectory(prefix="hdbench-recheck-") as scratch:
        images = synthesize_again(bench, method, result.seed, device, chosen, Path(scratch))
        again = count_images(
            segmenter,
            chosen,
            images,
            range(len(chosen)),
            bench.space,
            bench.benchmark,
            [scoring],
            photographs=method.shows_photographs,
            workers=0,
        )
        found = []
        with contextlib.closing(again):
            for n, scene, one in zip(numbers, chosen, again, strict=True):
                [truth], _ = read_truths(scene, bench.space, [scoring.labels])
                pixels = truth.train_ids.numel()
                if truth.counted is not None:
                    pixels = int(truth.counted.sum())
                found.append(
                    Recheck(
                        scene.name,
                        file_digest(images[one.index]) == result.images[n],
                        np.array_equal(one.matrices[0], result.matrices[n]),
                        int(result.matrices[n].sum()),
                        pixels,
                    )
                )
        return found


def require_reproduced(result: Result, found: Sequence[Recheck]) -> None:
    """Raise HdbenchError with every matrix that differs or does not count each pixel once."""
    wrong = [
        f"{one.scene}: the image is {'the same' if one.same_image else 'another'}, the matrix is "
        f"{'the same' if one.same_matrix else 'another'}; it counts {one.counted} of "
        f"{one.pixels} pixels"
        for one in found
        if not one.holds
    ]
    if wrong:
        raise HdbenchError(
            f"'{result.method}' under {result.scoring}: {len(wrong)} of {len(found)} images do "
            f"not reproduce their stored matrices\n{listing(wrong)}\n"
            "Images and logits are bit for bit the same only on the same device and number of "
            "threads; the result names the device."
        )
