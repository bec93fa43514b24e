"""Images on disk under a segmenter and scoring conventions: the one path of every score."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hdbench.data.label_maps import read_label_of
from hdbench.data.layouts import SceneFiles
from hdbench.errors import DataError, listing
from hdbench.evaluation.scores import scores_record
from hdbench.provenance import digest, file_digest, versions
from hdbench.runtime.progress import progress
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.result import Provenance, Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import Counted, as_seen, count_images, prepared_image
from hdbench.segmentation.prediction import require_fitting
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.fingerprint import choices_under
from hdbench.workspace.parts import Parts


@dataclass(frozen=True)
class Candidate:
    """The images of one method, to be scored."""

    #: What results call the method.
    method: str
    #: The run's seed.
    seed: int
    #: Digest of the run's identity; None for photographs.
    run: str | None
    #: The labels, N of them.
    scenes: Sequence[SceneFiles]
    #: The image of each scene, and the SHA-256 of its file.
    images: Sequence[Path]
    digests: Sequence[str]


@dataclass(frozen=True)
class Convention:
    """A scoring convention with all that a result under it depends on but images."""

    scoring: Scoring
    #: ``choices_under``.
    choices: dict[str, Any]
    #: Where matrices wait until the result is whole.
    parts: Parts


def score(
    bench: Bench,
    candidate: Candidate,
    segmenter: Segmenter,
    conventions: Sequence[Convention],
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Result]:
    """Return the results of one method's images, one for each convention.

    Conventions that give the segmenter the same share one pass of it. Matrices of earlier calls
    that did not reach their end are taken up; each new one is kept at once. All ``ranks``, which
    share the images, get the results. ``workers`` are threads that decode ahead of the segmenter
    and count behind it; 0: none.

    Raises:
        DataError: an image or a label map is damaged or of another size.
        UsageError: the segmenter predicts another label space or size.
    """
    space, benchmark = bench.space, bench.benchmark
    names = [scene.name for scene in candidate.scenes]
    digests, classes = list(candidate.digests), len(space.scored)
    for convention in conventions:
        require_fitting(segmenter, space, benchmark.size, convention.scoring)
    found = ranks.from_first(
        lambda: [one.parts.read(names, digests, classes) for one in conventions]
    )
    missing = [n for n in range(len(names)) if not all(n in matrices for matrices in found)]
    counted = count_images(
        segmenter,
        candidate.scenes,
        candidate.images,
        ranks.share(missing),
        space,
        benchmark,
        [convention.scoring for convention in conventions],
        photographs=candidate.run is None,
        workers=workers,
    )
    bar = progress(
        total=len(names),
        initial=len(names) - len(missing),
        desc=f"scoring {candidate.method}",
        unit="image",
        disable=ranks.rank > 0,
    )
    fresh: dict[int, Counted] = {}
    with bar, contextlib.closing(counted):
        for one in counted:
            for convention, matrix in zip(conventions, one.matrices, strict=True):
                convention.parts.add(ranks.rank, names[one.index], one.image, matrix)
            fresh[one.index] = one
            bar.update(min(ranks.count, bar.total - bar.n))
    for n, one in ranks.merged(fresh).items():
        digests[n] = one.image
        for matrices, matrix in zip(found, one.matrices, strict=True):
            matrices[n] = matrix
    shape = (len(names), classes + 1, classes)
    provenance = Provenance(versions=versions(), device=str(segmenter.device), ranks=ranks.count)
    results = []
    for convention, matrices in zip(conventions, found, strict=True):
        stacked = np.array([matrices[n] for n in range(len(names))], np.int64).reshape(shape)
        results.append(
            Result(
                method=candidate.method,
                benchmark=benchmark.name,
                seed=candidate.seed,
                scoring=convention.scoring.name,
                choices=convention.choices,
                run=candidate.run,
                scenes=names,
                images=digests,
                classes=[entry.name for entry in space.scored],
                scores=scores_record(stacked, space, convention.scoring),
                provenance=provenance,
                matrices=stacked,
            )
        )
    return results


def score_unstored(
    bench: Bench,
    segmenter: Segmenter,
    title: str,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
) -> Result:
    """Return the result of some images against some labels, computed now and stored nowhere.

    Images are photographs or pictures of any size, resized like the oracle's; ``title`` is what the
    progress bar calls them.

    Raises:
        DataError: a file is missing or damaged.
        UsageError: the segmenter predicts another label space or size.
    """
    require_images(images, title)
    choices = choices_under(bench, bench.scoring, segmenter.card)
    hashes = [file_digest(path) for path in images]
    with tempfile.TemporaryDirectory(prefix="hdbench-") as scratch:
        convention = Convention(bench.scoring, choices, Parts(Path(scratch), digest(choices)))
        candidate = Candidate(title, 0, None, scenes, images, hashes)
        [result] = score(bench, candidate, segmenter, [convention])
    return result


def require_images(images: Sequence[Path], method: str) -> None:
    """Raise DataError if images are missing; all of them are counted and the first listed."""
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise DataError(
            f"'{method}' lacks {len(missing)} of {len(images)} images\n"
            f"{listing(str(path) for path in missing)}"
        )


def images_as_given(bench: Bench, images: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield each test scene's name and its image as a segmenter is given it: uint8 3 x H x W.

    Raises:
        DataError: an image is missing, damaged or of another size.
    """
    policy = bench.scoring.segmenter
    for scene, path in zip(bench.dataset.test_scenes, images, strict=True):
        image = prepared_image(path, bench.benchmark, photograph=path == scene.image)
        height, width = read_label_of(scene, bench.space).shape
        yield scene.name, as_seen(image, policy, bench.benchmark, (height, width))
