"""The oracle of photographs at their own size: what it sees, where it stands, when it is absent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, mean_iou_of
from PIL import Image
from sklearn.metrics import confusion_matrix as sklearn_confusion
from test_scoring_passes import Killed, killed_at

from hdbench.data.labels import shipped_space
from hdbench.errors import DataError
from hdbench.library import SCORINGS, Library
from hdbench.schema.method import Method
from hdbench.schema.result import NATIVE_ORACLE
from hdbench.schema.result import Result as Scored
from hdbench.schema.scoring import Scoring
from hdbench.segmentation import passes
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows import scoring
from hdbench.workflows.evaluate import evaluate, score_images, score_photographs
from hdbench.workflows.recheck import recheck, require_reproduced
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.fingerprint import choices_under, native_scoring
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import current_native_oracle, load_result, result_path
from hdbench.workspace.segmenters import foreign_segmenter

SPACE = shipped_space("camvid")
CPU = torch.device("cpu")
Cli = Callable[..., Result]


class _Colours(torch.nn.Module):
    """Minus the squared distance to each class's colour, pixel by pixel; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        colours = torch.tensor([entry.colour for entry in SPACE.scored]) / 255
        self.register_buffer("colours", colours)
        self.seen: list[tuple[int, int]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append((images.shape[-1], images.shape[-2]))
        colours = self.get_buffer("colours")
        return -(images[:, None] - colours[None, :, :, None, None]).square().sum(dim=2)


@pytest.fixture
def network() -> _Colours:
    return _Colours()


@pytest.fixture
def segmenter(network: _Colours) -> Segmenter:
    card = constant_segmenter(0, SPACE, 64, 48).card
    return Segmenter(network, replace(card, weights="colours-by-distance"), CPU)


def score_native(bench: Bench, segmenter: Segmenter, workers: int = 1) -> Scored:
    scoring = native_scoring(bench, bench.scoring, segmenter.card)
    assert isinstance(scoring, Scoring)
    images = bench.dataset.photographs
    [found] = score_images(
        bench, oracle_of(bench), 0, segmenter, [scoring], images, workers=workers
    )
    return found


def oracle_of(bench: Bench) -> Method:
    return bench.library.method("oracle")


def nearest_colours(photograph: Path, label: Path) -> np.ndarray:
    """A matrix by NumPy and scikit-learn, from files that nothing has resized."""
    pixels = np.array(Image.open(photograph)).astype(np.int64)
    colours = np.array([entry.colour for entry in SPACE.scored])
    guess = np.square(pixels[:, :, None] - colours).sum(axis=-1).argmin(axis=-1)
    truth = np.array(Image.open(label))
    return sklearn_confusion(truth.ravel(), guess.ravel(), labels=range(12))[:, :11]


# -- what it sees ---------------------------------------------------------------------------------


def test_it_is_the_photograph_as_it_is_on_disk(
    bench: Bench, segmenter: Segmenter, network: _Colours
) -> None:
    native = score_native(bench, segmenter)
    for n, scene in enumerate(bench.dataset.test_scenes):
        assert np.array_equal(native.matrices[n], nearest_colours(scene.image, scene.label_map))
    assert set(network.seen) == {(64, 48)}  # windows of 96x72, never more than it was trained at
    oracle = score_photographs(bench, segmenter)
    assert mean_iou_of(native) > mean_iou_of(oracle)


def test_it_has_a_fingerprint_of_its_own_and_is_stored_like_any_result(
    bench: Bench, segmenter: Segmenter
) -> None:
    oracle = score_photographs(bench, segmenter)
    native = score_native(bench, segmenter)
    assert (native.method, native.scoring) == (NATIVE_ORACLE, oracle.scoring)
    assert native.fingerprint != oracle.fingerprint
    assert native.choices["image_size"] == [96, 72]
    assert native.choices["scoring"]["counting"] == oracle.choices["scoring"]["counting"]
    assert native.choices["labels"] == oracle.choices["labels"]
    path = result_path(bench, NATIVE_ORACLE, 0, foreign=foreign_segmenter(bench, segmenter.card))
    assert load_result(path).fingerprint == native.fingerprint
    stored = current_native_oracle(bench, segmenter.card)
    assert stored is not None
    assert stored.scores == native.scores


def test_it_is_not_computed_twice_and_goes_on_where_it_was_killed(
    bench: Bench, segmenter: Segmenter, network: _Colours, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(passes, "predict", killed_at(2, passes.predict))
        with pytest.raises(Killed):
            score_native(bench, segmenter, workers=0)
    network.seen.clear()
    first = score_native(bench, segmenter)
    assert len(network.seen) == 4  # the third photograph: 96x72 in windows of 64x48, 2 x 2
    assert not list(bench.workspace.root.rglob("*.parts"))
    monkeypatch.delattr(scoring, "count_images")
    again = score_native(bench, segmenter)
    assert again.scores == first.scores


def test_photographs_of_several_sizes_keep_theirs(bench: Bench, segmenter: Segmenter) -> None:
    scene = bench.dataset.test_scenes[1]
    for path in (scene.image, scene.label_map):
        Image.open(path).crop((0, 0, 88, 56)).save(path)
    native = score_native(bench, segmenter)
    assert native.choices["image_size"] == [[88, 56], [96, 72]]
    assert native.matrices.sum(axis=(1, 2)).tolist() == [96 * 72, 88 * 56, 96 * 72]
    expected = nearest_colours(scene.image, scene.label_map)
    assert np.array_equal(native.matrices[1], expected)


def test_a_photograph_of_another_size_than_its_labels_is_named(
    bench: Bench, segmenter: Segmenter
) -> None:
    scene = bench.dataset.test_scenes[2]
    Image.open(scene.image).resize((80, 60)).save(scene.image)
    with pytest.raises(DataError, match=r"val_02\.png.*80x60.*96x72"):
        score_native(bench, segmenter)


def test_photographs_scored_again_give_their_stored_matrices(
    bench: Bench, segmenter: Segmenter
) -> None:
    native = score_native(bench, segmenter)
    adapted = bench.scoring.with_native_photographs()
    assert adapted is not None
    found = recheck(bench, oracle_of(bench), native, adapted, 3, segmenter, CPU)
    require_reproduced(native, found)


# -- what conventions say of it -------------------------------------------------------------------


def test_conventions_keep_their_counting_and_what_windows_they_name() -> None:
    library = Library()
    for name in library.entries(SCORINGS):
        convention = library.scoring(name)
        adapted = convention.with_native_photographs()
        if name == "spade-512x256-v1":
            assert adapted is None
            continue
        assert adapted is not None
        seen = adapted.segmenter
        assert (seen.image_size, seen.window, seen.stride) == ("native", "training", "2/3")
        kept = {"labels", "counting", "readings", "name"}
        assert adapted.model_dump(include=kept) == convention.model_dump(include=kept)
        if convention.segmenter.image_size == "native":  # Table 1's shows every image so
            assert adapted.segmenter == convention.segmenter


def test_a_window_of_a_stated_size_stays(bench: Bench) -> None:
    seen = bench.scoring.segmenter.model_copy(update={"window": "64x48", "stride": "1/2"})
    adapted = bench.scoring.model_copy(update={"segmenter": seen}).with_native_photographs()
    assert adapted is not None
    assert adapted.segmenter == seen.model_copy(update={"image_size": "native"})


def test_where_there_is_none_the_reason_is_said(
    bench: Bench, city: Workspace, segmenter: Segmenter
) -> None:
    assert isinstance(native_scoring(bench, bench.scoring, segmenter.card), Scoring)
    fixed = bench.scoring.segmenter.model_copy(update={"image_size": "64x48"})
    convention = bench.scoring.model_copy(update={"segmenter": fixed})
    reason = native_scoring(bench, convention, segmenter.card)
    assert isinstance(reason, str)
    assert "camvid-std-v1" in reason
    assert "64x48" in reason
    [found] = evaluate(bench, [], 0, segmenter, CPU, [convention])
    assert found.native is None
    predictions = replace(segmenter.card, architecture="predictions")
    assert "predictions" in str(native_scoring(bench, bench.scoring, predictions))
    same_size = open_bench(city)  # photographs of 24x16, as the generator's images
    eye = constant_segmenter(0, same_size.space, 24, 16)
    reason = native_scoring(same_size, same_size.scoring, eye.card)
    assert "24x16" in str(reason)
    [found] = evaluate(same_size, [], 0, eye, CPU)
    assert found.native is None


def test_the_oracle_of_the_table_keeps_its_choices(bench: Bench, segmenter: Segmenter) -> None:
    choices = choices_under(bench, bench.scoring, segmenter.card)
    assert choices["image_size"] == [64, 48]
    assert choices["photographs"] == "resized to image_size first, as a generator's images are"


# -- where it stands ------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_stands_below_tables_and_never_in_them(cli: Cli, trained: Bench) -> None:
    record = json.loads(cli("evaluate", "--json").stdout)
    assert NATIVE_ORACLE not in [entry["method"] for entry in record]
    [native] = [entry["native_oracle"] for entry in record if "native_oracle" in entry]
    assert record[0]["method"] == "oracle"
    assert record[0]["native_oracle"] == native
    assert native["method"] == NATIVE_ORACLE
    assert {"96x72", "64x48"} <= set(re.findall(r"\d+x\d+", native["what"]))
    assert native["fingerprint"] != record[0]["fingerprint"]
    text = cli("evaluate")
    assert text.exit_code == 0, text.output
    assert record[0]["scoring"] not in text.stderr  # no note that the card's score does not bind
    [line] = [line for line in text.stdout.splitlines() if "native" in line]
    assert "pixel acc. % " in line
    assert f"mean IoU {native['mean_iou']:.4f} [" in line
    assert f"fingerprint {native['fingerprint'][:16]} " in line
    assert line in cli("report").stdout
    written = trained.workspace.reports().glob("table1.tiny.*")
    reports = {path.suffix: path.read_text() for path in written if path.suffix != ".png"}
    assert line in reports[".md"]
    assert native["fingerprint"][:16] in reports[".html"]
    assert "native" not in reports[".csv"]


@pytest.mark.slow
def test_explain_and_compare_say_what_it_is(cli: Cli, trained: Bench) -> None:
    explained = cli("evaluate", "--explain").stdout
    record = json.loads(cli("evaluate", "--explain", "--json").stdout)
    score_native(trained, segmenter_of(trained))
    found = load_result(result_path(trained, NATIVE_ORACLE, 0))
    assert record["native_oracle"]["fingerprint"] == found.fingerprint
    for fact in (found.fingerprint, ": 96x72\n", str(found.choices["photographs"])):
        assert fact in explained
    compared = json.loads(cli("compare", "oracle", NATIVE_ORACLE, "--json").stdout)
    differences = compared["compared_with_A"]["B"]["differences"]
    assert any("64x48" in line and "96x72" in line for line in differences)


def segmenter_of(bench: Bench) -> Segmenter:
    from hdbench.workspace.segmenters import open_segmenter

    return open_segmenter(bench, None, CPU)


def test_it_is_no_method_that_could_have_a_row(cli: Cli, trained: Bench, tmp_path: Path) -> None:
    drawn = cli("gallery", NATIVE_ORACLE)
    assert drawn.exit_code != 0
    assert NATIVE_ORACLE in drawn.stderr
    text = 'name = "small"\nextends = "camvid-std-v1"\n[segmenter]\nimage_size = "64x48"\n'
    (tmp_path / "small.toml").write_text(text)
    compared = cli("compare", "oracle:small.toml", f"{NATIVE_ORACLE}:small.toml")
    assert compared.exit_code != 0
