"""Tables in LaTeX: what names and numbers become, and that a page is set without an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from hdbench.reporting.latex import latex_table

#: Names that are commands, comments or arguments where they are not escaped.
HOSTILE = [r"\input{x}_%&$#~^", "[2ex] a", "*", "<0.5|1>", "{", "café – ±", "†"]


def hostile_table() -> pd.DataFrame:
    group = "published: a dataset with a long name, 500 validation images, 100 % of them"
    columns = pd.MultiIndex.from_tuples(
        [("measured_%", "IoU & more"), (group, "[p]"), (group, "50 %")]
    )
    cells = [["87.40 [-86.43, 88.14]", "-1.5 ± 0.4", "<0.001"]] * len(HOSTILE)
    return pd.DataFrame(cells, index=pd.Index(HOSTILE, name="method_#"), columns=columns)


def test_an_interval_stands_below_its_value() -> None:
    lines = latex_table(hostile_table(), frozenset({(1, 0)})).splitlines()
    (n,) = (n for n, line in enumerate(lines) if line.startswith("{}[2ex] a"))
    value, below = (line.split(" & ") for line in lines[n : n + 2])
    assert value[1:3] == [r"\textbf{87.40}", r"$-$1.5 $\pm$ 0.4"]
    assert value[3].startswith(r"\textless{}0.001 \\")
    assert below[1:3] == [r"\scriptsize [$-$86.43, 88.14]", ""]


def test_a_long_name_of_a_group_has_several_lines() -> None:
    text = latex_table(hostile_table(), frozenset())
    assert r"\multicolumn{1}{c}{measured\_\%}" in text
    name = re.search(r"\\multicolumn\{2\}\{c\}\{\\begin\{tabular\}.*?\}\}(.*?)\\end", text)
    assert name is not None
    assert max(map(len, name[1].split(r" \\ "))) <= 33


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["OT1", "T1"])
def test_pdflatex_sets_hostile_names_as_they_are_within_the_line(
    tmp_path: Path, encoding: str
) -> None:
    if shutil.which("pdflatex") is None or shutil.which("pdftotext") is None:
        pytest.skip("pdflatex or pdftotext is not installed")
    (tmp_path / "x.tex").write_text(r"\undefined")  # what an unescaped name would run
    (tmp_path / "table.tex").write_text(latex_table(hostile_table(), frozenset({(0, 0), (1, 1)})))
    (tmp_path / "paper.tex").write_text(
        rf"""\documentclass{{article}}
\usepackage[{encoding}]{{fontenc}}
\usepackage{{booktabs,graphicx}}
\textwidth=6cm
\begin{{document}}
\noindent\input{{table}}%
\end{{document}}
"""
    )
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=100)
    assert found.returncode == 0, found.stdout.decode(errors="replace")
    assert "Overfull" not in found.stdout.decode(errors="replace")
    subprocess.run(["pdftotext", "-layout", "paper.pdf"], cwd=tmp_path, check=True, timeout=100)
    text = (tmp_path / "paper.txt").read_text()
    names = HOSTILE[:5] if encoding == "T1" else HOSTILE[1:4]  # OT1 draws "_" as a line
    for shown in (*names, "±", "†", "<0.001", "500 validation"):
        assert shown in text, text
