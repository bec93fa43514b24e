"""What ``hdbench measure styles`` prints."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hdbench.evaluation.styles import Encoded, Mean, Repainted
from hdbench.evaluation.uncertainty import NOTE
from hdbench.reporting.tables import render
from hdbench.text import Style

#: A mean absolute difference of pixels, of 255.
_LEVELS = Style(2)


def style_lines(repainted: Sequence[Repainted], encoded: Encoded) -> list[str]:
    """Return the table of repainted instances, and the lines about encoded styles."""
    lines = []
    if repainted:
        rows = [
            [one.name, str(one.scenes), _text(one.inside), _text(one.outside)] for one in repainted
        ]
        columns = ["repainted", "scenes", "change inside", "change outside"]
        lines.append(render(pd.DataFrame(rows, columns=columns).set_index("repainted"), "text"))
    lines += [
        f"distance from the photograph over {encoded.scenes} scenes: {_text(encoded.encoded)} in "
        f"its encoded style, {_text(encoded.random)} in random styles; "
        f"{_text(encoded.gain)} closer",
        "Mean absolute differences, of 255; the largest instance of a class in each scene.",
        NOTE,
    ]
    return lines


def _text(mean: Mean) -> str:
    return _LEVELS.text(mean.value, mean.interval)
