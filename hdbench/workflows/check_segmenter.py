"""Whether a segmenter can be trusted to judge: oracle, declared scores, and two controls."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdbench.data.layouts import SceneFiles
from hdbench.data.sheets import png_bytes
from hdbench.errors import HdbenchError, counted, listing
from hdbench.schema.result import OVERALL, Result
from hdbench.segmentation.segmenter import Segmenter
from hdbench.storage import write_atomically
from hdbench.text import SCORE
from hdbench.workflows.oracle_gate import obstacle, oracle_gate
from hdbench.workflows.scoring import score_unstored
from hdbench.workspace.bench import Bench

#: Shares of the oracle's mean IoU that images of something else may reach; hdbench's own choice.
#: On CamVid under a PSPNet noise reaches 3 %, and another scene 47 %, as sky and road lie alike.
LIMITS = {"noise": 0.3, "another scene": 0.8}
_SCORES = ("mean_iou", "pixel_accuracy")
_SCENES = 50  # enough for controls that are far below


@dataclass(frozen=True)
class Inspection:
    """What a segmenter made of the benchmark's photographs."""

    oracle: Result
    #: Noise, and photographs of other scenes, against the labels of some of the scenes.
    controls: dict[str, Result]
    #: The oracle's score on the controls' scenes.
    reference: Result
    #: What the segmenter's card declares, or None where that does not bind here.
    declared: dict[str, Any] | None
    #: Why it does not (``obstacle``), or None where it does.
    no_gate: str | None
    #: What its authors declare elsewhere, or None.
    published: dict[str, Any] | None
    #: Why it is not to be trusted; empty if nothing speaks against it.
    problems: list[str]


def inspect_segmenter(bench: Bench, segmenter: Segmenter) -> Inspection:
    """Run a segmenter over a benchmark's photographs, over noise, and over other scenes' ones.

    Everything is computed anew, on the path of every score.

    Raises:
        DataError: a photograph or label map is missing or damaged.
        UsageError: the segmenter judges another label space or size.
    """
    scenes, images = bench.dataset.test_scenes, bench.dataset.photographs
    oracle = score_unstored(bench, segmenter, "oracle", scenes, images)
    card = segmenter.card
    no_gate = obstacle(bench, oracle, card)
    declared = card.oracle if no_gate is None else None
    problems = []
    try:
        oracle_gate(bench, oracle, segmenter)
    except HdbenchError as error:
        problems.append(str(error))
    chosen = np.unique(np.linspace(0, len(scenes) - 1, min(_SCENES, len(scenes))).round())
    shown = [int(n) for n in chosen]
    reference, controls = _controls(bench, segmenter, scenes, images, shown)
    for name, control in controls.items():
        reached, limit = control.scores.mean_iou or 0.0, reference.scores.mean_iou or 0.0
        if reached > LIMITS[name] * limit:
            problems.append(
                f"{name} scores a mean IoU of {SCORE.text(reached)}, the photographs of the same "
                f"scenes {SCORE.text(limit)}; more than {LIMITS[name]:.0%} of it, so the segmenter "
                "hardly looks at the images"
            )
    return Inspection(oracle, controls, reference, declared, no_gate, card.published, problems)


def _controls(
    bench: Bench,
    segmenter: Segmenter,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
    shown: Sequence[int],
) -> tuple[Result, dict[str, Result]]:
    """Return the oracle's result on some scenes, and the controls' by name."""
    some = [scenes[n] for n in shown]
    reference = score_unstored(bench, segmenter, "oracle", some, [images[n] for n in shown])
    controls: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="hdbench-") as folder:
        if segmenter.card.architecture != "predictions":  # nobody predicted noise elsewhere
            noise = [Path(folder) / f"{n}.png" for n in shown]
            random = torch.Generator().manual_seed(0)
            size = (3, bench.benchmark.size.height, bench.benchmark.size.width)
            for path in noise:
                pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=random)
                write_atomically(path, png_bytes(pixels))
            controls["noise"] = score_unstored(bench, segmenter, "noise", some, noise)
    if len(scenes) > 1:  # half the split away, so not the next frame of the same drive
        others = [images[(n + max(1, len(scenes) // 2)) % len(scenes)] for n in shown]
        controls["another scene"] = score_unstored(bench, segmenter, "another scene", some, others)
    return reference, controls


def require_sound(inspection: Inspection) -> None:
    """Raise HdbenchError with everything that speaks against a segmenter, if anything does."""
    if inspection.problems:
        raise HdbenchError(
            f"this segmenter cannot be trusted here:\n{listing(inspection.problems)}"
        )


def as_record(inspection: Inspection) -> dict[str, Any]:
    """Return an inspection as JSON values."""
    return {
        "oracle": inspection.oracle.scores.model_dump(),
        "declared": inspection.declared,
        "no_gate": inspection.no_gate,
        "published": inspection.published,
        "scenes": len(inspection.oracle.scenes),
        "controls_scenes": len(inspection.reference.scenes),
        "controls_reference": {key: inspection.reference.scores.overall(key) for key in OVERALL},
        "controls": {
            name: {key: control.scores.overall(key) for key in OVERALL}
            for name, control in inspection.controls.items()
        },
        "problems": inspection.problems,
    }


def lines(inspection: Inspection) -> list[str]:
    """Return an inspection as lines of text: classes, totals, controls."""
    oracle, declared = inspection.oracle.scores, inspection.declared or {}
    classes: dict[str, float | None] = declared.get("class_iou") or {}
    rows = [(f"IoU {name}", value, classes.get(name)) for name, value in oracle.class_iou.items()]
    rows += [
        ("mean IoU", oracle.mean_iou, declared.get("mean_iou")),
        ("pixel accuracy", oracle.pixel_accuracy, declared.get("pixel_accuracy")),
    ]
    width = max(len(title) for title, _, _ in rows)
    every, some = len(inspection.oracle.scenes), len(inspection.reference.scenes)
    found = [
        f"The photographs of {counted(every, 'scene')}, the whole test split:",
        f"{'':{width}}  measured  declared",
    ]
    found += [
        f"{title:{width}}  {SCORE.text(here):>8}  {SCORE.text(there):>8}"
        for title, here, there in rows
    ]
    found += [
        "",
        f"Controls on {some} of these scenes, evenly spread, beside their photographs:",
        f"{'':{width}}  mean IoU  pixel accuracy",
    ]
    results = {"photographs": inspection.reference, **inspection.controls}
    for title, result in results.items():
        scores = result.scores
        accuracy = SCORE.text(scores.pixel_accuracy)
        found.append(f"{title:{width}}  {SCORE.text(scores.mean_iou):>8}  {accuracy:>14}")
    if inspection.published:
        facts = inspection.published
        numbers = ", ".join(f"{key} {facts[key]}" for key in _SCORES if key in facts)
        where = "{}x{}".format(*facts["size"])
        found += ["", f"its authors declare {numbers} at {where} ({facts['how']})"]
    return found
