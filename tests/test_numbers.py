"""Every number that README and ``reports/`` print was measured, and is stored.

The numbers of the text are looked up in the committed results and their differences, the cards of
the weights, the records of quickstart and coverage, and the sizes of benchmarks and splits. The
tables of results are compared cell by cell in ``test_readme.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from safetensors import safe_open
from test_readme import DOCUMENTS, LIBRARY, MEASURED, RECORDS, ROOT, TABLE

from hdbench.evaluation.comparing import compare_all
from hdbench.library import BENCHMARKS
from hdbench.schema.timing import QuickstartTimes
from hdbench.streets.files import SPLITS
from hdbench.text import duration
from hdbench.workspace.results import load_result

TIMES = sorted(MEASURED.glob("*/quickstart.*json"))
COVERAGE = sorted(MEASURED.glob("coverage/*.json"))
STYLES = sorted(MEASURED.glob("styles/*.json"))
EDITING = sorted(MEASURED.glob("editing/*.json"))
#: Results whose differences a text prints.
COMPARED = ("camvid/ours.json", "camvid/pix2pix.json", "camvid/crn.json")
#: What is no measurement of hdbench's: each phrase stands in the document.
STATED = {
    "README.md": (
        "CVPR 2018",
        "worth 12 points of pixel accuracy: TSIT's authors report 94.4 % if void pixels are "
        "ignored and 82.7 % if they count as errors",
        "3.11 or newer",
        "The 24 scenes",
        "24 synthesized validation scenes",
        "Brackets hold 95 %",
        "VGG-19",
        "for every 5 % or 30 s",
        "The exit status is 2 for wrong usage, 1 for a failure, and 130 if",
        "Apache-2.0",
    ),
    "reports/README.md": ("a 95 % interval",),
    "reports/measured/streets/README.md": (
        "24 of the 100",
        "of 255",
        "24 synthesized validation scenes",
        "2048x1024",
        "19 scored classes",
        "version 1",
        "version 2",
        "RegNetX-200MF",
        "ResNet-10-T",
    ),
    "reports/measured/camvid/README.md": ("480x360", "the same 367 frames"),
}
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\d(?:x\d+)?(?:\.\d+)?|(?<![\w.])\d(?:\.\d+)?")
DURATION = re.compile(r"(?:\d+ h )?(?:\d+ min )?\d+ (?:h|min|s)\b")


def texts(value: Any) -> Iterator[str]:
    """How the numbers in a JSON value may be printed."""
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, float):
        yield from (f"{value:.4f}", f"{value:.2f}", f"{value:.1f}", f"{value:g}")
        yield from (f"{100 * value:.2f}", f"{100 * value:.1f}", f"{100 * value:.0f}")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from (str(value), f"{value:,}")


@pytest.fixture(scope="module")
def stored() -> set[str]:
    """Every number that is stored, as it may be printed."""
    found: set[str] = set()
    for path in RECORDS:
        result = load_result(path)
        found |= set(texts([len(result.scenes), result.scores.model_dump(mode="json")]))
        if result.provenance.training is not None:
            found |= set(texts(result.provenance.training.steps))
    compared = [load_result(MEASURED / name) for name in COMPARED]
    pairs = compare_all(compared, COMPARED)
    if all(pair.difference.p_value < 0.001 for pair in pairs):
        found.add("0.001")
    for pair in pairs:
        assert pair.difference.interval is not None
        found |= set(texts([pair.difference.value, *asdict(pair.difference.interval).values()]))
    for path in COVERAGE:
        record = json.loads(path.read_text())
        found |= set(texts([record["runs"], record["rows"]]))
    for path in [*STYLES, *EDITING]:
        found |= set(texts(json.loads(path.read_text())))
    for path in TIMES:
        times = QuickstartTimes.model_validate_json(path.read_text())
        found |= {duration(seconds) for seconds in (times.total, times.first_page)}
        found |= {f"{times.memory:.1f}"}
    for path in sorted((ROOT / "models" / "weights").glob("*/*.safetensors")):
        with safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType]
            names: list[str] = [*file.keys()]
            count = sum(file.get_tensor(name).numel() for name in names)
        found |= {f"{count / 1e6:.1f}", f"{path.stat().st_size / 1e6:.1f}"}
        for card in path.parent.glob("*.json"):
            found |= set(texts({**json.loads(card.read_text()), "identity": None}))
    for name in LIBRARY.entries(BENCHMARKS):
        size = LIBRARY.benchmark(name).size
        found.add(f"{size.width}x{size.height}")
    return found | set(texts([split.scenes for split in SPLITS.values()]))


def prose(name: str) -> str:
    """A document without its tables of results, its code, the targets of its links, and STATED."""
    text = TABLE.sub("", DOCUMENTS[name].read_text())
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", text, flags=re.DOTALL)
    text = " ".join(text.split())
    for phrase in STATED.get(name, ()):
        assert phrase in text, f"{name}: {phrase!r} is no longer in it; take it out of STATED"
        text = text.replace(phrase, "")
    return text


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if name == "README.md" or name.startswith("reports/")]
)
def test_every_number_is_stored(name: str, stored: set[str]) -> None:
    text = prose(name)
    spans = [found[0] for found in DURATION.finditer(text)]
    numbers = NUMBER.findall(DURATION.sub("", text))
    assert [number for number in [*spans, *numbers] if number not in stored] == []


def test_a_number_that_nothing_measured_is_found(stored: set[str]) -> None:
    assert "0.1234" not in stored
    assert NUMBER.findall("scores 91.65 %, 0.1234, of 18,000; 256x128 of 3.") == [
        "91.65",
        "0.1234",
        "18,000",
        "256x128",
        "3",
    ]


def test_the_records_are_there() -> None:
    assert TIMES
    assert COVERAGE
    assert STYLES
