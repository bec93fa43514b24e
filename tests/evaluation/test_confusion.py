from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion

from hdbench.data.scene import edge_band
from hdbench.evaluation.confusion import (
    accumulated_scores,
    confusion_matrix,
    scores_of,
    scores_of_each,
)
from hdbench.library import SCORINGS, Library, library_root
from hdbench.schema.scoring import Counting

STANDARD = Library().scoring("camvid-std-v1").counting


def policy(**changes: str) -> Counting:
    return STANDARD.model_copy(update=changes)


# -- a 4x4 case worked by hand --------------------------------------------------------------------

VOID = 255
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, VOID], [2, 2, 1, VOID], [2, 2, 1, VOID]], np.uint8)
GUESS = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [2, 0, 1, 0], [2, 2, 1, 3]], np.uint8)
BY_HAND = np.array(
    [
        [3, 1, 0, 0],  # class 0: 3 right, 1 taken for class 1
        [0, 5, 0, 0],  # class 1: all 5 right
        [1, 0, 3, 0],  # class 2: 3 right, 1 taken for class 0
        [0, 0, 0, 0],  # class 3 does not occur
        [1, 1, 0, 1],  # void: predicted as 0, 1 and 3
    ]
)


def test_the_matrix_by_hand() -> None:
    matrix = confusion_matrix(TRUTH, GUESS, 4)
    assert np.array_equal(matrix, BY_HAND)
    assert matrix.sum() == 16


@pytest.mark.parametrize(
    ("changes", "accuracy", "mean_iou"),
    [
        # 11 of 13 pixels; IoU 3/5, 5/6, 3/4, and class 3 in neither truth nor prediction.
        ({}, 11 / 13, (3 / 5 + 5 / 6 + 3 / 4) / 3),
        ({"absent_class": "zero"}, 11 / 13, (3 / 5 + 5 / 6 + 3 / 4) / 4),
        ({"absent_class": "one"}, 11 / 13, (3 / 5 + 5 / 6 + 3 / 4 + 1) / 4),
        ({"void_in_accuracy": "errors"}, 11 / 16, (3 / 5 + 5 / 6 + 3 / 4) / 3),
        # Void predicted as 0, 1 and 3 widens those unions by one; class 3 is now predicted.
        ({"void_in_iou": "false-positives"}, 11 / 13, (3 / 6 + 5 / 7 + 3 / 4 + 0) / 4),
        (
            {"void_in_iou": "false-positives", "predicted_only": "left-out"},
            11 / 13,
            (3 / 6 + 5 / 7 + 3 / 4) / 3,
        ),
        # Void is a fourth entry, never hit.
        ({"void_class": "counted"}, 11 / 13, (3 / 5 + 5 / 6 + 3 / 4 + 0) / 4),
        (
            {"void_class": "counted", "absent_class": "one"},
            11 / 13,
            (3 / 5 + 5 / 6 + 3 / 4 + 1 + 0) / 5,
        ),
    ],
)
def test_the_scores_by_hand(changes: dict[str, str], accuracy: float, mean_iou: float) -> None:
    scores = scores_of(BY_HAND, policy(**changes))
    assert scores.pixel_accuracy == pytest.approx(accuracy, abs=1e-15)
    assert scores.mean_iou == pytest.approx(mean_iou, abs=1e-15)


def worked_cases() -> dict[str, tuple[float, float]]:
    """The numbers of the table in protocols/scoring/README.md, by convention and reading."""
    text = (library_root() / "protocols/scoring/README.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| ([\d/()+ ]+) \| ([\d/()+ ]+) \|$", text, flags=re.MULTILINE)
    return {
        name.strip(): (eval(accuracy), eval(iou))  # digits and + / ( ) alone
        for names, accuracy, iou in rows
        for name in names.replace("`", "").split(", ")
    }


def test_each_conventions_number_is_worked_by_hand() -> None:
    library, worked = Library(), worked_cases()
    expected = set()
    for name in library.entries(SCORINGS):
        scoring = library.scoring(name)
        countings = {name: scoring.counting}
        countings |= {f"{name} {key}": scoring.counting_of(key) for key in scoring.readings}
        for case, counting in countings.items():
            scores = accumulated_scores(BY_HAND[None], counting)
            assert (scores.pixel_accuracy, scores.mean_iou) == pytest.approx(
                worked[case], abs=1e-15
            )
        expected |= set(countings)
    assert set(worked) == expected


def test_the_edge_convention_counts_every_pixel_of_so_small_a_case() -> None:
    band = edge_band(
        torch.from_numpy(TRUTH), Library().scoring("streets-edges-v1").labels.edge_band
    )
    assert band.all()


def test_accumulation_over_images_by_hand() -> None:
    """Left and right half as two images: 6 of 8 and 5 of 5 pixels."""
    halves = np.stack(
        [confusion_matrix(TRUTH[:, s], GUESS[:, s], 4) for s in (slice(2), slice(2, None))]
    )
    assert np.array_equal(halves.sum(axis=0), BY_HAND)
    scores = accumulated_scores(halves, policy(accumulation="images"))
    # Left: class 0 3/5, class 1 is only predicted, class 2 3/4. Right: class 1 5/5.
    left, right = (3 / 5 + 0 + 3 / 4) / 3, 5 / 5
    assert scores.mean_iou == pytest.approx((left + right) / 2, abs=1e-15)
    assert scores.pixel_accuracy == pytest.approx((6 / 8 + 5 / 5) / 2, abs=1e-15)
    assert scores.class_iou.tolist() == pytest.approx(
        [3 / 5, (0 + 1) / 2, 3 / 4, np.nan], nan_ok=True
    )


def test_images_without_any_score_are_not_averaged() -> None:
    void = np.zeros((3, 2), np.int64)
    void[-1, 0] = 9
    half = np.array([[1, 1], [0, 0], [0, 0]])
    scores = accumulated_scores(np.stack([void, half]), policy(accumulation="images"))
    assert (scores.pixel_accuracy, scores.mean_iou) == (0.5, 0.25)
    nothing = accumulated_scores(void[None], policy(accumulation="images"))
    assert np.isnan([nothing.pixel_accuracy, nothing.mean_iou]).all()


def test_a_class_predicted_but_absent_from_the_truth_counts_zero() -> None:
    matrix = confusion_matrix(np.array([0, 0], np.uint8), np.array([0, 1], np.uint8), 2)
    assert scores_of(matrix, STANDARD).class_iou.tolist() == [0.5, 0.0]


def test_nothing_but_void_has_no_score() -> None:
    matrix = confusion_matrix(np.array([VOID], np.uint8), np.array([1], np.uint8), 2)
    scores = scores_of(matrix, STANDARD)
    assert np.isnan(scores.pixel_accuracy)
    assert np.isnan(scores.mean_iou)


@pytest.mark.parametrize("absent", ["left-out", "zero", "one"])
def test_a_matrix_among_others_scores_as_it_does_alone(absent: str) -> None:
    """To the last bit, whichever classes it lacks."""
    random = np.random.default_rng(0)
    matrices = random.integers(0, 1000, (40, 20, 19))
    for matrix in matrices:
        lacks = random.integers(0, 19, random.integers(0, 6))
        matrix[lacks] = matrix[:, lacks] = 0
    matrices[0] = 0
    counting = policy(absent_class=absent)
    alone = [scores_of(matrix, counting) for matrix in matrices]
    rows = [[one.pixel_accuracy, one.mean_iou, *one.class_iou] for one in alone]
    assert np.array_equal(scores_of_each(matrices, counting), np.array(rows), equal_nan=True)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) .* \(3, 2\)"):
        confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)
    with pytest.raises(ValueError, match="2 classes"):
        confusion_matrix(np.zeros(2, np.uint8), np.full(2, 2, np.uint8), 2)


# -- independent references -----------------------------------------------------------------------


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    """Random maps, and adversarial ones: a single class, all void, all wrong, rare classes."""
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(6):
        truth = random.integers(0, 12, (40, 30)).astype(np.uint8)
        truth[truth == 11] = VOID
        pairs.append((truth, random.integers(0, 11, (40, 30)).astype(np.uint8)))
    constant = np.full((40, 30), 4, np.uint8)
    pairs += [(constant, constant), (constant, constant + 1)]
    rare = constant.copy()
    rare[0, 0] = 10
    rare[1:3] = VOID
    pairs += [(rare, constant), (constant, rare.clip(max=10))]
    return pairs


# torchmetrics takes seconds to import, which only the tests that use it should wait for.


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(cases())))
def test_torchmetrics_counts_the_same(case: int) -> None:
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    truth, guess = cases()[case]
    matrix = confusion_matrix(truth, guess, 11)
    scores = scores_of(matrix, STANDARD)
    target, preds = torch.from_numpy(truth)[None].long(), torch.from_numpy(guess)[None].long()
    accuracy = MulticlassAccuracy(11, average="micro", ignore_index=VOID)(preds, target)
    assert scores.pixel_accuracy == pytest.approx(accuracy.item(), abs=1e-6)
    jaccard = MulticlassJaccardIndex(11, average="none", ignore_index=VOID)(preds, target)
    present = ~np.isnan(scores.class_iou)
    assert np.allclose(scores.class_iou[present], jaccard.numpy()[present], atol=1e-6)
    assert not jaccard.numpy()[~present].any()


@pytest.mark.parametrize("case", range(len(cases())))
def test_torchmetrics_and_scikit_learn_count_the_same_integers(case: int) -> None:
    from torchmetrics.classification import MulticlassConfusionMatrix

    truth, guess = cases()[case]
    matrix = confusion_matrix(truth, guess, 11)
    target, preds = torch.from_numpy(truth)[None].long(), torch.from_numpy(guess)[None].long()
    theirs = MulticlassConfusionMatrix(11, ignore_index=VOID)(preds, target)
    assert np.array_equal(matrix[:-1], theirs.numpy())
    with_void = sklearn_confusion(np.minimum(truth, 11).ravel(), guess.ravel(), labels=range(12))
    assert np.array_equal(matrix, with_void[:, :11])


@pytest.mark.parametrize("case", range(len(cases())))
def test_scores_equal_their_definition_in_exact_fractions(case: int) -> None:
    truth, guess = cases()[case]
    scored = truth != VOID
    hits = int((truth == guess)[scored].sum())
    scores = scores_of(confusion_matrix(truth, guess, 11), STANDARD)
    assert scores.pixel_accuracy == pytest.approx(Fraction(hits, int(scored.sum())), abs=1e-12)
    iou = []
    for n in range(11):
        union = int((((truth == n) | (guess == n)) & scored).sum())
        if union:
            iou.append(Fraction(int(((truth == n) & (guess == n)).sum()), union))
    assert scores.mean_iou == pytest.approx(float(sum(iou) / len(iou)), abs=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 19, 150, 180, 182, 255])
def test_numbers_of_classes_beyond_narrow_integers(classes: int) -> None:
    random = np.random.default_rng(classes)
    truth = random.integers(0, 256, 5000).astype(np.uint8)
    guess = random.integers(0, classes, 5000).astype(np.uint8)
    truth[:2], guess[:2] = 255, classes - 1
    expected = sklearn_confusion(np.minimum(truth, classes), guess, labels=range(classes + 1))
    assert np.array_equal(confusion_matrix(truth, guess, classes), expected[:, :classes])


@pytest.mark.parametrize("case", range(len(cases())))
def test_cityscapes_scripts_count_the_same(case: int) -> None:
    """Exact integers and class IoU; the eleven classes borrow Cityscapes' first train ids."""
    reference = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="cityscapesScripts is not installed",
    )
    from cityscapesscripts.helpers.labels import labels, trainId2label

    truth, guess = cases()[case]
    void = next(entry.id for entry in labels if entry.ignoreInEval and entry.id > 0)
    id_of = {VOID: void, **{train_id: trainId2label[train_id].id for train_id in range(11)}}
    arguments = SimpleNamespace(evalLabels=[entry.id for entry in labels if entry.id >= 0])
    theirs = reference.generateMatrix(arguments)
    for true_id, guessed_id in zip(truth.flat, guess.flat, strict=True):
        theirs[id_of[int(true_id)]][id_of[int(guessed_id)]] += 1
    matrix = confusion_matrix(truth, guess, 11)
    rows = [*(id_of[n] for n in range(11)), void]
    columns = [id_of[n] for n in range(11)]
    assert np.array_equal(matrix, np.asarray(theirs)[np.ix_(rows, columns)])
    ours = scores_of(matrix, STANDARD).class_iou
    for n in range(11):
        assert ours[n] == pytest.approx(
            reference.getIouScoreForLabel(id_of[n], theirs, arguments), abs=1e-12, nan_ok=True
        )


# -- invariants -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(0, 400), st.integers(0, 2**31))
def test_every_pixel_is_counted_once_and_scores_are_shares(
    classes: int, pixels: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes + 3, pixels).astype(np.uint8)
    guess = random.integers(0, classes, pixels).astype(np.uint8)
    matrix = confusion_matrix(truth, guess, classes)
    assert matrix.shape == (classes + 1, classes)
    assert matrix.sum() == pixels
    assert matrix[-1].sum() == (truth >= classes).sum()
    half = pixels // 2
    parts = [
        confusion_matrix(truth[s], guess[s], classes) for s in (slice(half), slice(half, None))
    ]
    assert np.array_equal(parts[0] + parts[1], matrix)
    scores = scores_of(matrix, STANDARD)
    for value in (scores.pixel_accuracy, scores.mean_iou, *scores.class_iou):
        assert np.isnan(value) or 0 <= value <= 1
    strict = scores_of(matrix, policy(void_in_accuracy="errors", void_in_iou="false-positives"))
    if pixels and not np.isnan(scores.pixel_accuracy):
        assert strict.pixel_accuracy <= scores.pixel_accuracy


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9), st.integers(0, 2**31))
def test_renumbering_the_classes_only_renumbers(classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, guess = (random.integers(0, classes, 200).astype(np.uint8) for _ in range(2))
    order = random.permutation(classes).astype(np.uint8)
    scores = scores_of(confusion_matrix(truth, guess, classes), STANDARD)
    renamed = scores_of(confusion_matrix(order[truth], order[guess], classes), STANDARD)
    assert renamed.pixel_accuracy == scores.pixel_accuracy
    assert np.array_equal(renamed.class_iou[order], scores.class_iou, equal_nan=True)
