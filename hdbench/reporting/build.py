"""Write the files of a report from stored results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hdbench.data.inputs import paint_input
from hdbench.data.inspection import paint_boundaries
from hdbench.data.labels import VOID, LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.errors import counted
from hdbench.evaluation.comparing import require_one_fingerprint
from hdbench.evaluation.uncertainty import NOTE, Intervals, intervals_of
from hdbench.reporting.figures import (
    class_bars,
    confusion_picture,
    loss_curves,
    score_whiskers,
)
from hdbench.reporting.footnotes import footnotes, native_line
from hdbench.reporting.metric_tables import metric_tables
from hdbench.reporting.page import Picture, SceneStrip, render_page
from hdbench.reporting.tables import SUFFIXES, render, report_table
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.metric import Metric
from hdbench.schema.report import Report
from hdbench.schema.result import Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, prepared_image
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter
from hdbench.storage import write_atomically

_SEGMENTER = "{architecture} on {encoder}, weights {weights}"


@dataclass(frozen=True)
class Gallery:
    """The scenes whose images a report's page shows."""

    scenes: list[SceneFiles]
    space: LabelSpace
    benchmark: Benchmark
    scoring: Scoring
    segmenter: Segmenter
    #: By method, the image of each scene; at least one method.
    images: Mapping[str, list[Path]]
    #: How many scenes, spread evenly over the split.
    count: int

    def strips(self) -> list[SceneStrip]:
        """Return the pictures of each scene that is shown.

        These are labels, boundaries, the image of each method, the photograph, and the segmenter's
        prediction on the first method's image and on the photograph.
        """
        size = self.benchmark.size
        strips = []
        for n, files in spread(list(enumerate(self.scenes)), self.count):
            native = read_scene(files, self.space)
            scene = native.resized(size.height, size.width)
            assert scene.image is not None
            made = {
                name: prepared_image(paths[n], self.benchmark, photograph=False)
                for name, paths in self.images.items()
            }
            given = []
            if scene.input is not None and scene.input_spec is not None:
                shown = paint_input(scene.input, scene.input_spec)
                given.append(Picture("input", shown, False))
            pictures = [
                *given,
                Picture("labels", self.space.paint(scene.label), False),
                Picture("boundaries", paint_boundaries(scene.regions), False),
                *(Picture(f"synthesized by {name}", image, True) for name, image in made.items()),
                Picture("photograph", scene.image, True),
            ]
            void = self.space.to_train_ids(scene.label) == VOID
            first = next(iter(made))
            for caption, pixels in ((first, made[first]), ("photograph", scene.image)):
                policy = self.scoring.segmenter
                pixels = as_seen(pixels, policy, self.benchmark, native.size)
                seen = predict(self.segmenter, pixels, size.height, size.width, policy)
                seen[void] = VOID
                picture = self.space.paint_train_ids(seen)
                pictures.append(Picture(f"segmenter on {caption}", picture, False))
            strips.append(SceneStrip(files.name, scene.label, pictures))
        return strips


def build_table(
    report: Report,
    benchmark: Benchmark,
    results: Mapping[str, Result],
    intervals: Mapping[str, Intervals] | None = None,
    bounds_apart: bool = False,
    second: Mapping[str, Result] | None = None,
) -> pd.DataFrame:
    """Return the table of a report on one benchmark.

    ``bounds_apart`` puts the bounds of intervals into columns of their own; intervals that are not
    passed are computed. ``second`` holds the results under the second segmenter.

    Raises:
        HdbenchError: the results' fingerprints differ; each choice that differs is named.
    """
    require_one_fingerprint(list(results.values()))
    second_by = ""
    if second:
        require_one_fingerprint(list(second.values()))
        segmenter = next(iter(second.values())).choices["segmenter"]
        second_by = "second segmenter ({architecture})".format(**segmenter)
    if intervals is None:
        intervals = intervals_of(list(results.values()))
    measured_on = f"measured: {benchmark.title}"
    return report_table(report, results, measured_on, intervals, bounds_apart, second, second_by)


def write_report(
    folder: Path,
    report: Report,
    benchmark: Benchmark,
    space: LabelSpace,
    results: Mapping[str, Result],
    runs: Mapping[str, Path],
    gallery: Gallery | None,
    metrics: Sequence[Metric] = (),
    native: Result | None = None,
    second: Mapping[str, Result] | None = None,
) -> dict[str, Path]:
    """Write a report as text, Markdown, CSV, LaTeX, figure and page; return the paths by format.

    ``results`` (at least one; all share a fingerprint), ``second`` (those under the second
    segmenter) and ``runs`` (folders of trained runs, for loss curves) are by method. ``native``,
    the oracle at native size, gets a line below the table.
    """
    intervals = intervals_of(list(results.values()))
    table = build_table(report, benchmark, results, intervals, second=second)
    notes = [
        *([native_line(native, benchmark.size)] if native else []),
        *([NOTE] if intervals else []),
        *footnotes(results.values()),
    ]
    tables = metric_tables(metrics)
    stem = f"{report.name}.{benchmark.name}"
    paths: dict[str, Path] = {}
    for form, suffix in SUFFIXES.items():
        paths[form] = folder / f"{stem}.{suffix}"
        if form == "csv":  # for machines: one table, bounds apart, and no sentence below
            parts = [render(build_table(report, benchmark, results, intervals, True, second), form)]
        elif form == "latex":  # for a paper, which has its own captions
            parts = [render(table, form)]
        else:
            parts = [render(table, form), "\n".join(notes)]
            for one in tables:
                parts += [one.title, render(one.table, form), "\n".join(one.notes)]
        text = "\n\n".join(part for part in parts if part)
        write_atomically(paths[form], (text + "\n").encode())
    charts = []
    for method, run in runs.items():
        rows = read_metrics(run / "metrics.jsonl")
        if rows:
            charts.append(loss_curves(rows, f"{method}: {len(rows)} steps"))
    bars = class_bars(list(results.values()), intervals)
    paths["figure"] = folder / f"{stem}.class-iou.svg"
    write_atomically(paths["figure"], bars.encode())
    first = next(iter(results.values()))
    strips = gallery.strips() if gallery else []
    page = render_page(
        title=f"{report.title}: {benchmark.title}",
        subtitle=f"{report.source}. {len(first.scenes)} scenes, scoring {first.scoring}.",
        table=table,
        notes=notes,
        metrics=tables,
        score_chart=score_whiskers(list(results.values()), intervals) if intervals else "",
        class_chart=bars,
        confusion_charts={name: confusion_picture(found) for name, found in results.items()},
        loss_charts=charts,
        scenes=strips,
        scenes_note=(
            f"{counted(len(strips), 'scene')} spread evenly over the test split, not chosen by "
            "eye. Black in the segmenter's predictions is void, which is not scored."
            if strips
            else ""
        ),
        legend=space.legend(strip.label for strip in strips),
        facts=_facts(first, results, second),
    )
    paths["page"] = folder / f"{stem}.html"
    write_atomically(paths["page"], page.encode())
    return paths


def _facts(
    first: Result, results: Mapping[str, Result], second: Mapping[str, Result] | None
) -> dict[str, str]:
    choices = first.choices
    versions = first.provenance.versions
    beside = {}
    if second:
        other = next(iter(second.values())).choices["segmenter"]
        beside["second segmenter"] = _SEGMENTER.format(**other)
    return {
        "dataset": f"{choices['dataset']}, split {choices['split']}, {choices['scenes']} scenes",
        "image size": "{}x{}".format(*choices["image_size"]),
        "scoring": first.scoring,
        "segmenter": _SEGMENTER.format(**choices["segmenter"]),
        **beside,
        "fingerprint": first.fingerprint,
        "runs": ", ".join(
            f"{result.method} ({result.run[:12]})" for result in results.values() if result.run
        ),
        "software": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "device": first.provenance.device,
        "not in these numbers or their intervals": "the variance between training seeds: one seed "
        "per method",
    }
