"""What choices are worth, each by itself and together, on cases worked by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from conftest import changed, made_result

from hdbench.errors import HdbenchError, UsageError
from hdbench.evaluation.comparing import compare, compare_all, require_one_fingerprint
from hdbench.evaluation.significance import holm
from hdbench.schema.result import Result

#: Two images of 10 and 6 pixels; in all: 8 of 11 right, void seen 3 times as 0 and 2 times as 1.
MATRICES = np.array(
    [
        [[3, 1, 0], [1, 2, 0], [0, 0, 0], [2, 1, 0]],
        [[2, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0]],
    ]
)


def chosen(result: Result, **changes: Any) -> Result:
    """The same result with other choices at the top of its record."""
    return changed(result, choices={**result.choices, **changes})


def test_each_policy_by_itself_and_all_together_by_hand() -> None:
    """Hits 5 and 3; unions 8 and 6; with void as false positives 11 and 8."""
    ours = made_result("x", MATRICES)
    theirs = made_result(
        "x", MATRICES, void_in_accuracy="errors", void_in_iou="false-positives", absent_class="zero"
    )
    found = compare(ours, theirs)
    assert len(found.differences) == 3
    for difference, step in zip(found.differences, found.steps[:3], strict=True):
        assert re.fullmatch(f"{step.title}: .* in A, .* in B", difference)
    accuracy, mean_iou = 8 / 11, (5 / 8 + 3 / 6) / 2
    expected = {
        "scoring.counting.void_in_accuracy": (8 / 16 - accuracy, 0.0),
        "scoring.counting.void_in_iou": (0.0, (5 / 11 + 3 / 8) / 2 - mean_iou),
        "scoring.counting.absent_class": (0.0, (5 / 8 + 3 / 6) / 3 - mean_iou),
        "all": (8 / 16 - accuracy, (5 / 11 + 3 / 8) / 3 - mean_iou),
    }
    assert [step.field for step in found.steps] == list(expected)
    for step in found.steps:
        assert tuple(step.change.values()) == pytest.approx(expected[step.field], abs=1e-15)
    assert list(found.rest.values()) == pytest.approx([0.0, 0.0], abs=1e-15)
    assert found.not_recomputed == []


def test_what_is_left_is_what_the_images_differ_by() -> None:
    better = MATRICES + np.array([[1, -1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    better[1, 0] = [2, 0, 0]
    ours = made_result("x", MATRICES)
    found = compare(ours, made_result("y", better, void_in_accuracy="errors"))
    assert found.rest["pixel_accuracy"] == pytest.approx(9 / 16 - 8 / 16, abs=1e-15)


def test_results_that_share_a_fingerprint_differ_in_nothing() -> None:
    found = compare(made_result("x", MATRICES), made_result("y", MATRICES[::-1]))
    assert (found.differences, found.steps, found.rest) == ([], [], {})


def test_what_the_matrices_cannot_tell_is_said() -> None:
    ours = made_result("x", MATRICES)
    theirs = chosen(made_result("x", MATRICES), image_size=[32, 24])
    found = compare(ours, theirs, letter="C")
    [title] = found.not_recomputed
    assert found.differences == [f"{title}: 64x48 in A, 32x24 in C"]
    assert found.steps == []
    assert list(found.rest.values()) == [0.0, 0.0]


def test_the_name_of_a_convention_is_said_and_worth_nothing() -> None:
    ours = made_result("x", MATRICES)
    renamed = {**ours.choices["scoring"], "name": "other-v1"}
    found = compare(ours, chosen(ours, scoring=renamed))
    [difference] = found.differences
    assert difference.endswith(": camvid-std-v1 in A, other-v1 in B")
    assert (found.steps, found.not_recomputed) == ([], [])


def test_a_subset_of_the_scenes_is_counted_again() -> None:
    ours = made_result("x", MATRICES)
    theirs = made_result("x", MATRICES[:1])
    theirs = chosen(theirs, labels="f" * 64)
    found = compare(ours, theirs)
    [difference] = found.differences
    assert re.fullmatch("scenes: 1 scene .*A, scene 1", difference)
    only, together = found.steps
    assert only.field == "scenes"
    assert "1 scene" in only.title
    assert only.change == together.change
    assert only.change["pixel_accuracy"] == pytest.approx(5 / 7 - 8 / 11, abs=1e-15)
    assert found.rest["pixel_accuracy"] == pytest.approx(0.0, abs=1e-15)


def test_scenes_with_other_label_pixels_are_named() -> None:
    ours = made_result("x", MATRICES)
    other = MATRICES.copy()
    other[1, 0, 0] -= 1
    other[1, 1, 1] += 1
    found = compare(ours, chosen(made_result("x", other), labels="f" * 64))
    [difference] = found.differences
    assert re.fullmatch("label maps: 1 scene of the 2 .*, scene 1", difference)
    [moved] = compare(ours, chosen(ours, labels="f" * 64)).differences
    assert re.match("label maps: .*hash", moved)


def test_another_order_and_no_common_scene_are_said() -> None:
    ours = made_result("x", MATRICES)
    turned = changed(
        chosen(ours, labels="f" * 64), scenes=ours.scenes[::-1], matrices=MATRICES[::-1]
    )
    [difference] = compare(ours, turned).differences
    assert re.match("scenes: .*order", difference)
    elsewhere = changed(chosen(ours, labels="f" * 64), scenes=["a", "b"])
    found = compare(ours, elsewhere)
    mine, yours = found.differences
    assert re.fullmatch("scenes: 2 scenes .*A, scene 0, scene 1", mine)
    assert re.fullmatch("scenes: 2 scenes .*B, a, b", yours)
    [reason] = found.not_recomputed
    assert "scenes" in reason
    assert found.steps == []


def test_policies_of_another_version_are_not_recounted() -> None:
    ours = made_result("x", MATRICES)
    scoring = {**ours.choices["scoring"], "counting": {"void": "eaten"}}
    found = compare(ours, chosen(ours, scoring=scoring))
    assert found.steps == []
    assert "counting policies" in found.not_recomputed[-1]


def test_every_pair_is_tested_and_the_family_corrected() -> None:
    random = np.random.default_rng(0)
    base = random.integers(5, 50, (24, 4, 3))
    shifted = base.copy()
    shifted[:, 0, 0] += shifted[:, 0, 1]
    shifted[:, 0, 1] = 0
    results = [made_result(name, m) for name, m in (("x", base), ("y", shifted), ("z", base))]
    pairs = compare_all(results, ["A", "B", "C"])
    assert [(pair.ours, pair.theirs) for pair in pairs[::2]] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [pair.corrected for pair in pairs] == holm([pair.difference.p_value for pair in pairs])
    assert pairs[0].difference.value < 0 < pairs[4].difference.value
    assert pairs[2].difference.p_value == 1.0


def test_equal_fingerprints_with_other_label_pixels_are_no_pairs() -> None:
    """A result whose matrices contradict its own fingerprint."""
    other = MATRICES.copy()
    other[0, 0, 0] += 1
    with pytest.raises(UsageError, match="label maps"):
        compare_all([made_result("x", MATRICES), made_result("y", other)], ["A", "B"])


def test_a_table_never_mixes_fingerprints() -> None:
    ours = made_result("x", MATRICES)
    require_one_fingerprint([ours, made_result("y", MATRICES)])
    theirs = made_result("y", MATRICES, void_in_accuracy="errors")
    with pytest.raises(HdbenchError) as error:
        require_one_fingerprint([ours, ours, theirs])
    for fact in (
        "'x' and 'y'",
        *(ours.fingerprint[:16], theirs.fingerprint[:16]),
        "void pixels in pixel accuracy: ",
        "'hdbench compare'",
    ):
        assert fact in str(error.value)
