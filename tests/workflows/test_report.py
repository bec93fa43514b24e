"""A report over two benchmarks and two segmenters: its rows, footnotes, columns and pictures."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    MACHINE,
    constant_segmenter,
    evaluated,
    figures_drawn,
    trainable,
    write_perceptual,
    write_tiny,
)
from PIL import Image

from hdbench.errors import HdbenchError, LibraryError, UsageError
from hdbench.reporting.measured import Elsewhere
from hdbench.reporting.score_table import OTHER_BUDGET
from hdbench.schema.benchmark import SegmenterChoice
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.evaluate import score_methods
from hdbench.workflows.report import Shown, report_on
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import current_results
from hdbench.workspace.segmenters import open_second

CPU = torch.device("cpu")
ROAD, SKY = 3, 0  # train ids of CamVid
METHOD, BESIDE = "ours-no-vgg", "ours (long)"


def write_pair(folder: Path) -> Path:
    """Write the small benchmark beside another one, which learns with a perceptual network."""
    tiny = write_tiny(folder)
    text = tiny.read_text()
    network = write_perceptual(folder / "network")
    long = text.replace('"tiny"', '"long"').replace("decay_epochs = 1", "decay_epochs = 0")
    (folder / "long.toml").write_text(f'{long}\n[perceptual]\nname = "{network}"\n')
    path = folder / "long.toml"
    tiny.write_text(text.replace("\n[size]", f'beside = "{path}"\n\n[size]', 1))
    return tiny


def other(bench: Bench, **update: object) -> Bench:
    """The benchmark beside a benchmark."""
    assert bench.benchmark.beside is not None
    benchmark = bench.library.benchmark(bench.benchmark.beside)
    return replace(bench, benchmark=benchmark.model_copy(update=update))


def segmenter_of(bench: Bench, train_id: int = ROAD) -> Segmenter:
    """A segmenter that sees one class everywhere; results bear the first letters of its digest."""
    segmenter = constant_segmenter(train_id, bench.space, 64, 48)
    segmenter.card = replace(segmenter.card, weights=f"{train_id}-constant")
    return segmenter


@pytest.fixture(scope="session")
def pair_once(
    drawn_once: Path, trained_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with both benchmarks, each with a trained method that one segmenter has scored."""
    folder = tmp_path_factory.mktemp("pair")
    run = Path("runs") / "tiny" / METHOD
    shutil.copytree(trained_once / run, folder / "ws" / run)
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_pair(folder))))
    long = other(bench)
    train_method(long, trainable(long, "ours"), 0, MACHINE)
    evaluated(bench, [METHOD], 0, segmenter_of(bench), CPU)
    score_methods(long, [trainable(long, "ours")], 0, segmenter_of(bench), CPU)
    return folder


@pytest.fixture(scope="session")
def shown(pair_once: Path, drawn_once: Path) -> dict[str, Path]:
    """The report on the pair, under one segmenter, with its figures; to be read alone."""
    workspace = Workspace(pair_once / "ws", drawn_once, str(pair_once / "tiny.toml"))
    with figures_drawn():
        return reported(open_bench(workspace))


@pytest.fixture
def pair(pair_once: Path, drawn_once: Path, tmp_path: Path) -> Bench:
    """The benchmark that has the other one beside it."""
    shutil.copytree(pair_once / "ws", tmp_path / "ws")
    tiny = pair_once / "tiny.toml"  # its paths lead to the network that 'ours' learnt with
    return open_bench(Workspace(tmp_path / "ws", drawn_once, str(tiny)))


def reported(bench: Bench, second: Segmenter | None = None) -> dict[str, Path]:
    report = bench.library.report("table1")
    return report_on(bench, report, segmenter_of(bench), second, Shown([METHOD], scenes=2))


def table_of(paths: dict[str, Path]) -> dict[str, dict[str, str]]:
    """The CSV's rows by their titles, cells by their headings."""
    rows = csv.DictReader(io.StringIO(paths["csv"].read_text()))
    return {row["method"]: row for row in rows}


def by_hand(matrix: np.ndarray) -> tuple[float, float]:
    """Pixel accuracy and mean IoU of one summed matrix, void left out."""
    scored = matrix[:-1].astype(float)  # the last row is void
    right, truth, guess = scored.diagonal(), scored.sum(axis=1), scored.sum(axis=0)
    union = truth + guess - right
    return right.sum() / scored.sum(), float(np.mean((right / union)[union > 0]))


# -- two benchmarks -------------------------------------------------------------------------------


def test_two_benchmarks_stand_in_one_table(pair: Bench, shown: dict[str, Path]) -> None:
    table = table_of(shown)
    title = title_beside(pair)
    assert title in table
    heading = "measured: Tiny | mean IoU mean"
    for name, result in (
        (title, current_results(other(pair), ["ours"], 0, segmenter_of(pair).card)["ours"]),
        (
            row_title(pair, METHOD),
            current_results(pair, [METHOD], 0, segmenter_of(pair).card)[METHOD],
        ),
    ):
        accuracy, mean_iou = by_hand(result.matrices.sum(axis=0))
        assert float(table[name][heading]) == pytest.approx(mean_iou, abs=1e-4)
        found = float(table[name]["measured: Tiny | pixel acc. % mean"])
        assert found == pytest.approx(100 * accuracy, abs=0.01)
    assert table[row_title(pair, "ours")][heading] == ""  # not trained on this one
    assert str(pair.benchmark.beside) not in shown["text"].read_text()


def title_beside(bench: Bench) -> str:
    """What the row of the other benchmark is called; it saw 8 images in training, not 16."""
    return f"{trainable(bench, 'ours').title}, trained on 'long' {OTHER_BUDGET}"


def row_title(bench: Bench, method: str) -> str:
    """What report table1 calls a method, which may have been trained for longer than most."""
    rows = bench.library.report("table1").rows
    return next((row.title for row in rows if row.method == method), trainable(bench, method).title)


def test_footnotes_say_steps_and_perceptual_network_of_both(
    pair: Bench, shown: dict[str, Path]
) -> None:
    text = shown["text"].read_text()
    network = other(pair).benchmark.perceptual.name
    result = current_results(other(pair), ["ours"], 0, segmenter_of(pair).card)["ours"]
    facts = result.provenance.training
    assert facts is not None
    assert facts.perceptual is not None
    assert facts.perceptual.name == network
    (own,) = re.findall(rf"^{METHOD}: .*$", text, flags=re.MULTILINE)
    (beside,) = re.findall(rf"^{re.escape(BESIDE)}: .*$", text, flags=re.MULTILINE)
    assert "16 steps" in own
    assert network not in own
    assert "8 steps" in beside
    assert network in beside
    assert facts.perceptual.weights[:8] in beside
    assert "ships" not in own + beside
    (budget,) = re.findall(r"^Equal budget .*$", text, flags=re.MULTILINE)
    assert re.search(rf"16 images: {METHOD}; {OTHER_BUDGET} 8 images: {re.escape(BESIDE)}", budget)


def figures(page: str, caption: str) -> list[Image.Image]:
    """The pictures under a caption, one for each scene."""
    found = re.findall(r'<img src="data:[^,]*,([^"]*)"[^>]*><figcaption>([^<]*)<', page)
    return [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data, text in found
        if unescape(text) == caption
    ]


def test_the_page_shows_the_images_of_both(pair: Bench, shown: dict[str, Path]) -> None:
    page = shown["page"].read_text()
    folders = {METHOD: pair.image_folder(METHOD, 0), BESIDE: other(pair).image_folder("ours", 0)}
    images = {name: figures(page, f"synthesized by {name}") for name in folders}
    assert {name: len(found) for name, found in images.items()} == {METHOD: 2, BESIDE: 2}
    names = re.findall(r"<h3>([^<]*)</h3>", page)
    assert len(names) == 2
    for name, pictures in images.items():
        for scene, picture in zip(names, pictures, strict=True):
            found = np.asarray(picture).astype(float)
            distances = {
                whose: np.abs(found - np.asarray(Image.open(folder / f"{scene}.png"))).mean()
                for whose, folder in folders.items()
            }
            assert distances[name] < 8  # JPEG of small noisy pictures
            assert distances[name] < min(distances[whose] for whose in folders if whose != name)
    assert len(figures(page, f"segmenter on {METHOD}")) == 2
    assert f"{BESIDE}: 8 steps" in unescape(page)


@pytest.mark.slow
def test_without_results_beside_it_there_is_no_row(pair: Bench) -> None:
    shutil.rmtree(pair.workspace.root / "results" / "long")
    paths = reported(pair)
    assert "'long'" not in paths["text"].read_text()
    assert "synthesized by ours (" not in paths["page"].read_text()


def test_another_convention_beside_it_is_refused(pair: Bench, tmp_path: Path) -> None:
    strict = other(pair, scoring="camvid-table1-v1")
    score_methods(strict, [trainable(pair, "ours")], 0, segmenter_of(pair), CPU)
    benchmark = Path(str(pair.benchmark.beside))
    changed = tmp_path / "long.toml"
    text = benchmark.read_text().replace("\n[size]", 'scoring = "camvid-table1-v1"\n\n[size]', 1)
    changed.write_text(text)
    update = {"beside": str(changed)}
    bench = replace(pair, benchmark=pair.benchmark.model_copy(update=update))
    with pytest.raises(HdbenchError) as error:
        reported(bench)
    assert "'oracle'" in str(error.value)
    assert f"'{BESIDE}'" in str(error.value)
    strict_result = current_results(strict, ["ours"], 0, segmenter_of(pair).card)["ours"]
    assert strict_result.fingerprint[:16] in str(error.value)


# -- two segmenters -------------------------------------------------------------------------------

SECOND = "second segmenter (constant) | mean IoU mean"


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_the_second_segmenters_scores_stand_beside_and_rank_nothing(
    pair: Bench, shown: dict[str, Path]
) -> None:
    before, second, long = table_of(shown), segmenter_of(pair, SKY), other(pair)
    assert SECOND not in before["oracle"]
    evaluated(pair, [METHOD], 0, second, CPU)
    score_methods(long, [trainable(pair, "ours")], 0, second, CPU)
    paths = reported(pair, second)
    table = table_of(paths)
    assert list(table) == list(before)
    for name, row in table.items():
        assert {key: row[key] for key in before[name]} == before[name]
    for name, result in (
        (row_title(pair, METHOD), current_results(pair, [METHOD], 0, second.card)[METHOD]),
        (
            title_beside(pair),
            current_results(long, ["ours"], 0, second.card)["ours"],
        ),
    ):
        _, mean_iou = by_hand(result.matrices.sum(axis=0))
        assert float(table[name][SECOND]) == pytest.approx(mean_iou, abs=1e-4)
    # It sees sky everywhere, whatever it is shown, so all that it scored have one score.
    assert table["oracle"][SECOND] == table[row_title(pair, METHOD)][SECOND]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", paths["page"].read_text())
    assert SECOND.partition(" | ")[0] in heads


@pytest.mark.slow
def test_what_the_second_segmenter_has_not_scored_has_an_empty_cell(pair: Bench) -> None:
    second = segmenter_of(pair, SKY)
    score_methods(pair, [trainable(pair, METHOD)], 0, second, CPU)
    table = table_of(reported(pair, second))
    assert [name for name, row in table.items() if row[SECOND]] == [row_title(pair, METHOD)]


def with_second(bench: Bench, name: str) -> Bench:
    recipe = bench.benchmark.required_segmenter.training.model_copy(
        update={"architecture": "unet", "encoder": "mobilenet_v2"}
    )
    second = SegmenterChoice(name=name, training=recipe)
    return replace(bench, benchmark=bench.benchmark.model_copy(update={"second_segmenter": second}))


def test_a_second_segmenter_is_opened_where_there_is_one(bench: Bench) -> None:
    assert open_second(bench, CPU) is None
    assert open_second(with_second(bench, "own"), CPU) is None
    with pytest.raises(LibraryError, match="'streets-pspnet-v1'"):
        open_second(with_second(bench, "streets-pspnet-v0"), CPU)


# -- other reports --------------------------------------------------------------------------------


def test_ranks_under_two_segmenters(pair: Bench) -> None:
    first, second = segmenter_of(pair), segmenter_of(pair, SKY)
    report = pair.library.report("segmenters")
    with pytest.raises(HdbenchError, match="'segmenters'"):
        report_on(pair, report, first, second)
    score_methods(pair, [trainable(pair, METHOD)], 0, second, CPU)
    paths = report_on(pair, report, first, second)
    table = table_of(paths)
    title = trainable(pair, METHOD).title
    assert table[title]["second (constant) | mean IoU"]
    assert table[title]["second (constant) | rank"] == "1"
    assert table["Floor: patchwork"]["second (constant) | rank"] == ""
    page = paths["page"].read_text()
    for card in (first.card, second.card):
        result = current_results(pair, [METHOD], 0, card)[METHOD]
        assert result.fingerprint in page


def test_pictures_of_scored_methods_with_parts_enlarged(pair: Bench, tmp_path: Path) -> None:
    text = (
        'name = "mine"\ntitle = "Mine"\nsource = "here"\n[pictures]\ninset = "largest-instance"\n'
        f'methods = ["ours", "{METHOD}"]\nscenes = ["val_02", "val_00"]\n'
    )
    (tmp_path / "mine.toml").write_text(text)
    paths = report_on(pair, pair.library.report(str(tmp_path / "mine.toml")), segmenter_of(pair))
    page = paths["page"].read_text()
    assert re.findall(r"<h3>([^<]*)</h3>", page) == ["val_02", "val_00"]
    title = trainable(pair, METHOD).title
    captions = [unescape(text) for text in re.findall(r"<figcaption>([^<]*)<", page)]
    assert captions[:3] == ["labels", title, "photograph"]
    assert [caption.split(", ")[0] for caption in captions[3:6]] == captions[:3]
    assert "hdbench evaluate --method ours" in page  # of which nothing is measured
    with Image.open(paths["pictures.png"]) as sheet:
        assert sheet.width > 3 * 64
        assert sheet.height > 4 * 48
    wrong = text.replace("val_02", "val_2")
    (tmp_path / "mine.toml").write_text(wrong)
    with pytest.raises(UsageError, match=r"'val_2'.*'val_"):
        report_on(pair, pair.library.report(str(tmp_path / "mine.toml")), segmenter_of(pair))


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_scores_and_preferences_in_one_report_name_what_fills_them(pair: Bench) -> None:
    paths = report_on(pair, pair.library.report("loss-ablation"), segmenter_of(pair))
    text, page = paths["text"].read_text(), unescape(paths["page"].read_text())
    for command in (
        "hdbench reproduce loss-ablation --method ours-gan-only",
        f"hdbench study build --study unlimited --methods ours,{METHOD}",
    ):
        assert command in text
        assert f"<code>{command}</code>" in page
    assert "68.55" in paths["preferences csv"].read_text()
    table = table_of(paths)
    assert table["GAN and feature matching"]["measured: Tiny | mean IoU mean"]
    assert "Floor: patchwork" in table
    assert not [title for title in table if "long" in title]  # these rows and no others


@pytest.mark.slow
def test_results_from_elsewhere_get_a_row_and_say_where_they_come_from(pair: Bench) -> None:
    card = segmenter_of(pair).card
    result = current_results(pair, [METHOD], 0, card)[METHOD]
    there = Elsewhere("of lab B", "lab-b.zip, SHA-256 0123", (result,))
    report = pair.library.report("table1")
    paths = report_on(pair, report, segmenter_of(pair), None, Shown(scenes=2, extra=[there]))
    table = table_of(paths)
    assert table["of lab B"] == {**table[row_title(pair, METHOD)], "method": "of lab B"}
    assert f"{METHOD} (of lab B): lab-b.zip, SHA-256 0123." in paths["text"].read_text()
    other = result.model_copy(update={"choices": {**result.choices, "split": "test"}})
    strange = replace(there, results=(other,))
    with pytest.raises(HdbenchError, match="of lab B"):
        report_on(pair, report, segmenter_of(pair), None, Shown(extra=[strange]))


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_the_summary_has_the_reports_of_which_something_is_measured(pair: Bench) -> None:
    paths = report_on(pair, pair.library.report("summary"), segmenter_of(pair))
    page = paths["page"].read_text()
    anchors = re.findall(r'<article id="([^"]*)"', page)
    assert {"table1.tiny", "loss-ablation.tiny"} <= set(anchors)
    assert not {"nyu-preference", "figure7", "segmenters.tiny"} & set(anchors)
    result = current_results(pair, [METHOD], 0, segmenter_of(pair).card)[METHOD]
    assert result.fingerprint in page
    assert f"hdbench evaluate --method {METHOD}" in page
    shutil.rmtree(pair.workspace.root / "results")
    with pytest.raises(HdbenchError, match="'summary'"):
        report_on(pair, pair.library.report("summary"), segmenter_of(pair))


@pytest.mark.slow
def test_every_seed_that_is_measured_is_in_the_row(pair: Bench) -> None:
    method = trainable(pair, METHOD)
    train_method(pair, method, 1, MACHINE)
    score_methods(pair, [method], 1, segmenter_of(pair), CPU)
    runs = [current_results(pair, [METHOD], n, segmenter_of(pair).card)[METHOD] for n in (0, 1)]
    report, key = pair.library.report("table1"), "measured: Tiny | mean IoU"
    rows = {
        seeds: table_of(
            report_on(pair, report, segmenter_of(pair), None, Shown(seeds=seeds, scenes=1))
        )[row_title(pair, METHOD)]
        for seeds in (None, (0,), (1,))
    }
    scores = [by_hand(run.matrices.sum(axis=0))[1] for run in runs]
    assert rows[None]["measured: Tiny | seeds"] == "2"
    assert float(rows[None][f"{key} mean"]) == pytest.approx(sum(scores) / 2, abs=1e-4)
    assert float(rows[None][f"{key} spread"]) == pytest.approx(abs(scores[0] - scores[1]), abs=1e-4)
    for seed in (0, 1):
        assert float(rows[(seed,)][f"{key} mean"]) == pytest.approx(scores[seed], abs=1e-4)
        assert rows[(seed,)][f"{key} spread"] == ""
    image = next(pair.image_folder(METHOD, 1).glob("*.png"))
    Image.new("RGB", (64, 48)).save(image)
    bench = open_bench(pair.workspace)
    with pytest.raises(HdbenchError, match="--seed 1"):  # stale, and not left out in silence
        report_on(bench, report, segmenter_of(bench))
