"""What enters the fingerprint, what does not, and whether words say all of it."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from conftest import constant_segmenter
from safetensors.torch import load_file, save_file

from hdbench.data.labels import shipped_space
from hdbench.data.loading import ids_digest
from hdbench.errors import CheckpointError
from hdbench.evaluation.explain import NOT_STATED, differences, explain, leaves
from hdbench.library import SCORINGS, Library
from hdbench.networks.pspnet import PSPNetDesign, build_pspnet
from hdbench.provenance import digest
from hdbench.runtime.weights import weights_digest
from hdbench.schema.scoring import Counting, Scoring
from hdbench.segmentation.segmenter import (
    WEIGHTS_FILE,
    Segmenter,
    load_segmenter,
    save_segmenter,
    write_card,
)
from hdbench.workspace.fingerprint import choices_of

SPACE = shipped_space("camvid")
LIBRARY = Library()
BENCHMARK = LIBRARY.benchmark("camvid")
STANDARD = LIBRARY.scoring("camvid-std-v1")
LABELS = [["val_00", "a" * 64], ["val_01", "b" * 64]]


def choices(
    scoring: Scoring = STANDARD, segmenter: Segmenter | None = None, labels: Any = LABELS
) -> dict[str, Any]:
    segmenter = segmenter or constant_segmenter(3, SPACE, 256, 192)
    return choices_of(BENCHMARK, scoring, SPACE, segmenter.card, labels)


# -- what changes a fingerprint -------------------------------------------------------------------


def test_one_label_pixel_changes_it_and_its_compression_does_not(tmp_path: Path) -> None:
    from PIL import Image

    label = np.zeros((6, 8), np.uint8)
    found = []
    for n, (pixel, level) in enumerate(((0, 6), (0, 0), (1, 6))):
        label[5, 7] = pixel
        Image.fromarray(label).save(tmp_path / f"{n}.png", compress_level=level)
        found.append(digest(choices(labels=[["val_00", ids_digest(tmp_path / f"{n}.png")]])))
    assert found[0] == found[1] != found[2]


def test_names_and_order_of_scenes_change_it() -> None:
    renamed = [["val_0x", LABELS[0][1]], LABELS[1]]
    found = {
        digest(choices(labels=labels)) for labels in (LABELS, LABELS[::-1], renamed, LABELS[:1])
    }
    assert len(found) == 4


@pytest.mark.slow
def test_one_weight_byte_changes_it_once_the_card_admits_it(tmp_path: Path) -> None:
    network = build_pspnet(PSPNetDesign("resnet18", 1, 1, 11))
    card = replace(
        constant_segmenter(0, SPACE, 64, 48).card,
        architecture="pspnet",
        encoder="resnet18",
        weights=weights_digest(network),
    )
    save_segmenter(tmp_path, network, card)
    before = load_segmenter(tmp_path, torch.device("cpu"))
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    name = next(name for name, value in tensors.items() if value.dtype == torch.float32)
    tensors[name].view(torch.uint8).view(-1)[0] ^= 1  # the last bit of one weight
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=f"{WEIGHTS_FILE}: .*{card.weights[:12]}"):
        load_segmenter(tmp_path, torch.device("cpu"))
    network.load_state_dict(tensors)
    write_card(tmp_path, replace(card, weights=weights_digest(network)))
    after = load_segmenter(tmp_path, torch.device("cpu"))
    assert digest(choices(segmenter=before)) != digest(choices(segmenter=after))
    found = differences(choices(segmenter=before), choices(segmenter=after))
    assert [entry.field for entry in found] == ["segmenter.weights"]


def policies() -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, field in Counting.model_fields.items()
        for value in get_args(field.annotation)
        if value != getattr(STANDARD.counting, name)
    ]


@pytest.mark.parametrize(("name", "value"), policies())
def test_any_policy_changes_it_and_alone_is_named(name: str, value: str) -> None:
    counting = STANDARD.counting.model_copy(update={name: value})
    changed = choices(STANDARD.model_copy(update={"counting": counting}))
    (entry,) = differences(choices(), changed)
    assert entry.field == f"scoring.counting.{name}"
    assert entry.ours != entry.theirs


@pytest.mark.parametrize("field", [field for field, _ in leaves(choices())])
def test_every_single_choice_changes_it(field: str) -> None:
    """Whatever the record of choices holds: another value is another fingerprint."""
    changed = copy.deepcopy(choices())
    *path, last = field.split(".")
    table = changed
    for key in path:
        table = table[key]
    table[last] = "something else"
    assert [entry.field for entry in differences(choices(), changed)] == [field]


def test_title_and_source_of_a_convention_do_not_change_it() -> None:
    reworded = STANDARD.model_copy(update={"title": "Another title", "source": "elsewhere"})
    assert digest(choices(reworded)) == digest(choices())


# -- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LIBRARY.entries(SCORINGS)))
def test_every_choice_of_every_convention_has_words_of_its_own(name: str) -> None:
    """No field is shown by its path in the record, and no two look the same."""
    scoring = LIBRARY.scoring(name)
    space = shipped_space(scoring.label_space)
    segmenter = constant_segmenter(0, space, 256, 192)
    record = choices_of(BENCHMARK, scoring, space, segmenter.card, LABELS)
    explained = explain(record)
    assert [choice.field for choice in explained] == [field for field, _ in leaves(record)]
    for choice in explained:
        assert "segmenter: " not in choice.title, choice.field
        assert not choice.title.startswith("scoring: "), choice.field
        assert choice.words
    assert len({choice.title for choice in explained}) == len(explained)


@pytest.mark.parametrize(("name", "value"), policies())
def test_every_policy_has_words(name: str, value: str) -> None:
    counting = {**STANDARD.counting.model_dump(), name: value}
    found = {choice.field: choice for choice in explain({"scoring": {"counting": counting}})}
    assert found[f"scoring.counting.{name}"].words != value


def test_sentences() -> None:
    ours, theirs = choices(), copy.deepcopy(choices())
    theirs["scoring"]["counting"]["void_in_accuracy"] = "errors"
    theirs["image_size"] = [2048, 1024]
    theirs["classes"][2] = [2, "column", None]
    theirs["segmenter"]["weights"] = "c" * 64
    theirs["future"] = {"crop": True}
    del theirs["photographs"]
    found = {entry.field: entry for entry in differences(ours, theirs)}
    for field, mine, yours in (
        ("classes", "2 is 'pole' (scored)", "2 is 'column' (void)"),
        ("scoring.counting.void_in_accuracy", "left out", "errors"),
        ("image_size", "256x192", "2048x1024"),
        ("photographs", "image_size", NOT_STATED),
        ("segmenter.weights", "constant-3", "c" * 16),
        ("future.crop", NOT_STATED, "yes"),
    ):
        entry = found.pop(field)
        assert mine in entry.ours
        assert yours in entry.theirs
        sentence = f"{entry.title}: {entry.ours} in mine, {entry.theirs} in theirs"
        assert entry.sentence("mine", "theirs") == sentence
    assert not found


def test_a_table_with_many_other_ids_is_summed_up() -> None:
    ours, theirs = choices(), copy.deepcopy(choices())
    theirs["classes"] = [[n, f"thing {n}", n] for n in range(150)]
    (entry,) = differences(ours, theirs)
    assert re.search("11 .*12 ids in A, 150 .*150 ids in B", entry.sentence())


def test_equal_counts_of_other_classes_still_differ_in_words() -> None:
    ours, theirs = choices(), copy.deepcopy(choices())
    theirs["classes"] = [[n, f"{name}!", train] for n, name, train in ours["classes"]]
    (entry,) = differences(ours, theirs)
    assert entry.ours != entry.theirs


def test_equal_choices_have_no_differences() -> None:
    assert differences(choices(), choices()) == []


def test_a_reading_is_explained_by_its_name() -> None:
    """Further numbers of the same matrices, where a convention states some."""
    record = {"scoring": {"readings": {"20-class": {"void_in_iou": "false-positives"}}}}
    (choice,) = explain(record)
    assert re.fullmatch("reading '20-class', .*IoU: .*false positives", choice.sentence())
