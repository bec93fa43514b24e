"""What the trainings of a benchmark are validated with."""

from __future__ import annotations

from hdbench.data.layouts import spread
from hdbench.errors import HdbenchError, counted
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import SECOND
from hdbench.schema.split import Split
from hdbench.segmentation.validation import SegmenterValidation
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import open_segmenter


def open_validation(
    bench: Bench, machine: Machine, epochs: int | None = None
) -> SegmenterValidation | str:
    """Return the validation of a benchmark's trainings, or why there is none.

    The segmenter is the benchmark's second, so that no generator is chosen by the segmenter that
    ranks; the first if the benchmark has no second.

    Args:
        bench: the benchmark.
        machine: its device computes.
        epochs: from one validation to the next; None is what the benchmark says, 0 is never.
    """
    spec = bench.benchmark.validation
    if spec is None:
        return f"benchmark '{bench.benchmark.name}' has no table [validation]"
    if epochs == 0:
        return "switched off"
    which = None if bench.benchmark.second_segmenter is None else SECOND
    try:
        segmenter = open_segmenter(bench, which, machine.device)
        files = spread(bench.dataset.with_inputs(spec.split), spec.scenes)
    except HdbenchError as error:  # a training needs neither
        return str(error).splitlines()[0]
    return SegmenterValidation(
        segmenter,
        files,
        bench.space,
        bench.benchmark,
        bench.require_scoring(),
        epochs or spec.epochs,
    )


def validation_words(bench: Bench, validation: SegmenterValidation) -> str:
    """Return how trainings are validated, in words."""
    spec, card = bench.benchmark.validation, validation.segmenter.card
    assert spec is not None
    which = "second segmenter" if bench.benchmark.second_segmenter else "segmenter that ranks"
    seen = Split.parse(spec.split).name == Split.parse(bench.benchmark.data.train).name
    return (
        f"{counted(len(validation.files), 'scene')} of '{spec.split}'"
        + (", which the method learns from," if seen else "")
        + f" are scored by the {which} ({card.architecture}, {card.short_name}) under "
        f"{validation.scoring.name}; epochs from one validation to the next: {validation.epochs}"
    )
