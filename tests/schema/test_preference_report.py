from __future__ import annotations

from pathlib import Path

import pytest

from hdbench.errors import LibraryError
from hdbench.library import REPORTS, Library
from hdbench.schema.preference_report import PreferenceReport


def report(name: str) -> PreferenceReport:
    found = Library().any_report(name)
    assert isinstance(found, PreferenceReport)
    return found


def test_table_2_is_of_the_models_that_see_labels_only() -> None:
    methods = {entry.method for entry in report("table2").comparisons}
    assert methods == {"ours-labels-only", "ours-no-vgg-labels-only"}
    for method in methods:
        assert Library().method(str(method)).title


def test_a_report_of_preferences_is_no_report_of_scores() -> None:
    with pytest.raises(LibraryError, match="report 'table2'"):
        Library().report("table2")


HEAD = 'name = "x"\ntitle = "X"\nsource = "here"\npublished_on = "there"\nshow = "rates"\n'


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ('title = "a"\nmethod = "b"\nover = "c"', "method, over and study"),
        ('title = "a"', "methods"),
        ('title = "a"\npublished = 101.0', "published = 101.0"),
        ('title = "a"\nmethod = "b"\nover = "b"\nstudy = "unlimited"', "'b'"),
        ('title = "a"\npublisht = 50.0', "'publisht'"),
    ],
)
def test_a_wrong_comparison_is_named(tmp_path: Path, entry: str, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"{HEAD}[[comparisons]]\n{entry}\n")
    with pytest.raises(LibraryError) as error:
        Library().any_report(str(path))
    assert text in str(error.value)
    assert "[comparisons] entry 1" in str(error.value)


def test_a_file_outside_the_library_is_recognised_and_its_study_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    entry = 'title = "a"\nmethod = "b"\nover = "c"\nstudy = "unlimitd"'
    path.write_text(f"{HEAD}[[comparisons]]\n{entry}\n")
    assert Library().find(str(path))[0] == REPORTS
    (problem,) = Library().problems_in([path])
    assert "study = 'unlimitd': " in problem
    assert "'unlimited'" in problem
