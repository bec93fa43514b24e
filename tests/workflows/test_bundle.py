"""Packing results, and a page of several labs' bundles."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import HOSTILE_TITLE
from playwright.sync_api import Page

from hdbench.cli.main import cli as command
from hdbench.exchange.reading import LIMITS, open_bundle
from hdbench.exchange.sample import sampled_scenes
from hdbench.runtime.archives import Archive
from hdbench.schema.result import Result as Scored
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import matrices_path, result_path

Run = Callable[..., Result]
METHODS = ("--method", "ours-no-vgg", "--method", "noise", "--trained-on", "noise=<b>nothing</b>")


@pytest.fixture
def workspace(packed_once: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace, to break."""
    shutil.copytree(packed_once.root, tmp_path / "ws")
    return Workspace(tmp_path / "ws", packed_once.data_root, packed_once.benchmark)


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "hdbench.toml").write_text(
        f'benchmark = "{workspace.benchmark}"\ndata_root = "{workspace.data_root}"\n'
        'workspace = "ws"\n'
    )
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(command, ["bundle", *map(str, words)])


def test_a_copied_workspace_gives_the_same_bytes_and_files_travel_as_they_are(
    run: Run, workspace: Workspace, packed_once: Workspace
) -> None:
    made = run("pack", *METHODS, "--out", "lab.zip", "--contact", "A. Lab <a@b>")
    assert made.exit_code == 0, made.stderr
    other = packed_once.root.parent / "lab.zip"
    assert Path("lab.zip").read_bytes() == other.read_bytes()
    assert open_bundle(other).sha256 in made.stdout
    with other.open("rb") as file:
        archive = Archive(file, "lab", LIMITS)
        stored = result_path(open_bench(workspace), "ours-no-vgg", 0)
        place = "methods/00-ours-no-vgg/seed0"
        assert archive.read(f"{place}/result.json") == stored.read_bytes()
        assert archive.read(f"{place}/result.npz") == matrices_path(stored).read_bytes()
        card = workspace.run("tiny", "ours-no-vgg", 0) / "generator.json"
        assert archive.read(f"{place}/generator.json") == card.read_bytes()
    again = run("pack", *METHODS, "--out", "lab.zip", "--contact", "A. Lab <a@b>")
    assert again.exit_code == 0
    assert not [path for path in Path().iterdir() if path.name.startswith(".lab")]


def test_another_file_is_not_overwritten(run: Run) -> None:
    Path("lab.zip").write_bytes(b"mine")
    made = run("pack", *METHODS, "--out", "lab.zip")
    assert made.exit_code == 2
    assert "lab.zip" in made.stderr
    assert Path("lab.zip").read_bytes() == b"mine"


def test_stale_and_missing_results_are_all_named_and_nothing_is_packed(
    run: Run, workspace: Workspace
) -> None:
    bench = open_bench(workspace)
    ours, oracle = (result_path(bench, name, 0) for name in ("ours-no-vgg", "oracle"))
    oracle.unlink()
    record = json.loads(ours.read_text())
    ours.write_text(json.dumps({**record, "run": "0" * 64}))
    made = run("pack", *METHODS, "--out", "lab.zip")
    assert made.exit_code == 1
    for path in (ours, oracle):
        assert str(path.relative_to(workspace.root)) in made.stderr
    assert "hdbench evaluate --method ours-no-vgg" in made.stderr
    assert not Path("lab.zip").exists()


def test_images_that_were_replaced_are_not_packed(run: Run, workspace: Workspace) -> None:
    folder = open_bench(workspace).image_folder("noise", 0)
    first, second, *_ = sorted(folder.glob("*.png"))
    shutil.copy(second, first)
    made = run("pack", *METHODS, "--out", "lab.zip")
    assert made.exit_code == 1
    assert str(folder.relative_to(workspace.root)) in made.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0,x"), "0,x"),
        (("--trained-on", "ours-no-vgg=much"), "ours-no-vgg"),
        (("--trained-on", "nobody"), "nobody"),
        (("--method", "nobody"), "nobody"),
        (("--contact", "x" * 501), "contact"),
    ],
)
def test_what_cannot_be_packed_is_misuse(words: tuple[str, ...], said: str, run: Run) -> None:
    made = run("pack", *METHODS, *words, "--out", "lab.zip")
    assert made.exit_code == 2
    assert said in made.stderr
    assert not Path("lab.zip").exists()


def test_a_seed_that_is_not_trained_is_named(run: Run) -> None:
    made = run("pack", *METHODS, "--seeds", "0,1", "--out", "lab.zip")
    assert made.exit_code == 1
    assert "--seed 1" in made.stderr


def test_samples_follow_from_the_results_alone() -> None:
    scenes = [f"scene {n}" for n in range(100)]
    chosen = sampled_scenes(scenes, 8, ["a", "b"])
    assert len(chosen) == 8
    assert chosen == sampled_scenes(scenes, 8, ["b", "a"])
    assert chosen == [scene for scene in scenes if scene in chosen]
    assert set(chosen) < set(sampled_scenes(scenes, 9, ["a", "b"]))
    assert chosen != sampled_scenes(scenes, 8, ["a", "c"])
    assert sampled_scenes(scenes, 1000, ["a"]) == scenes
    assert sampled_scenes(scenes, 0, ["a"]) == []


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture
def bundles(packed_once: Workspace, tmp_path: Path) -> Path:
    """Two bundles that hold, under names that hurt, and two that do not."""
    lab, folder = packed_once.root.parent / "lab.zip", tmp_path / "bundles"
    folder.mkdir()
    content = lab.read_bytes()
    (folder / "a.zip").write_bytes(content)
    (folder / "<b onclick=alert(4)>.zip").write_bytes(content)
    (folder / "cut.zip").write_bytes(content[:-10])
    (folder / "empty.zip").write_bytes(b"")
    return folder


@pytest.mark.slow
def test_the_page_ranks_bundles_that_hold_and_lists_the_others(run: Run, bundles: Path) -> None:
    made = run("leaderboard", bundles, "--out", "page.html")
    assert made.exit_code == 0, made.stderr
    assert "4 methods of 4 bundles in 1 table" in made.stdout
    assert "cut.zip" in made.stderr
    assert "empty.zip" in made.stderr
    page = Path("page.html").read_text()
    assert "3 images scored again, equal" in page
    assert "A. Lab &lt;a@b&gt;" in page


def test_a_folder_without_bundles_is_misuse(run: Run, tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / "ws"):
        made = run("leaderboard", folder, "--out", "page.html")
        assert made.exit_code == 2
        assert str(folder) in made.stderr


def test_results_of_other_choices_have_a_table_of_their_own(
    packed_once: Workspace, tmp_path: Path
) -> None:
    from hdbench.reporting.leaderboard import Board, render_leaderboard
    from hdbench.workflows.check_bundle import Verified
    from hdbench.workflows.leaderboard import _rows

    lab = packed_once.root.parent / "lab.zip"
    bundle = open_bundle(lab)
    rows = _rows(Verified(lab, bundle, [], {}), bundle)
    page = render_leaderboard("Two", [Board("One", rows), Board("Other", rows)], [])
    assert page.count('<section class="board">') == 2
    assert page.count("choices behind these scores") == 2


def test_seeds_of_one_method_are_one_row_with_mean_and_deviation(packed_once: Workspace) -> None:
    from hdbench.reporting.leaderboard import Board, Ranked, render_leaderboard

    bundle = open_bundle(packed_once.root.parent / "lab.zip")
    entry = bundle.results[0]

    def scored(value: float) -> Scored:
        scores = entry.result.scores.model_copy(update={"mean_iou": value})
        return entry.result.model_copy(update={"scores": scores})

    entries = [
        entry.model_copy(update={"seed": n, "name": f"{n}", "result": scored(value)})
        for n, value in enumerate((0.25, 0.5))
    ]
    row = Ranked(entries, None, {}, {}, ["lab"], 3)
    page = render_leaderboard("Seeds", [Board("Tiny", [row])], [])
    assert "0.3750" in page
    assert "± 0.1768" in page  # 0.25 over the square root of 2
    assert "seed 0: 0.2500" in page
    assert "seed 1: 0.5000" in page


@pytest.mark.slow
def test_nothing_of_others_runs_on_the_page_and_it_fits_a_phone(
    run: Run, bundles: Path, tmp_path: Path, browser_page: Page
) -> None:
    assert run("leaderboard", bundles, "--out", "page.html", "--no-rescore").exit_code == 0
    requests, errors = [], []
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.on("console", lambda message: errors.append(message.text))
    browser_page.on("dialog", lambda dialog: errors.append(dialog.message))
    for width in (390, 1366):
        browser_page.set_viewport_size({"width": width, "height": 844})
        browser_page.goto((tmp_path / "page.html").as_uri())
        assert browser_page.evaluate("document.documentElement.scrollWidth") == width
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    body = browser_page.locator("body").inner_text()
    assert "scored again, equal" not in body
    for words in (HOSTILE_TITLE, "<b>nothing</b>", "<b onclick=alert(4)>", "cut.zip"):
        assert words in body
    assert browser_page.locator("script").count() == 0
    for image in browser_page.locator("details[open] img").all():
        image.evaluate("image => image.decode()")
    ranks = browser_page.locator("tr.method td.rank").all_inner_texts()
    assert ranks == ["1", "2", "3", "4"]
    # The references of both bundles are alike, matrix for matrix: one row each.
    assert browser_page.locator("tr.reference").count() == 4


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_a_report_ranks_the_methods_of_a_bundle_beside_ones_own(
    run: Run, packed_once: Workspace, tmp_path: Path
) -> None:
    lab = tmp_path / "lab.zip"
    shutil.copy(packed_once.root.parent / "lab.zip", lab)

    def report(*words: str) -> Result:
        return CliRunner().invoke(command, ["report", "table1", *words])

    found = report("--with", str(lab), "--format", "markdown")
    assert found.exit_code == 0, found.stderr
    ours, theirs = (
        next(line for line in found.stdout.splitlines() if line.startswith(f"| {title} |"))
        for title in ("pix2pixHD without VGG loss", "pix2pixHD without VGG loss (lab)")
    )
    own, other = ([part.strip(" *") for part in line.split("|")[2:5]] for line in (ours, theirs))
    assert own == other
    page = (tmp_path / "ws" / "reports" / "table1.tiny.html").read_text()
    assert "bundle 'lab'" in html.unescape(page)
    assert HOSTILE_TITLE not in page
    (tmp_path / "twice").mkdir()
    shutil.copy(lab, tmp_path / "twice")
    twice = report("--with", str(lab), "--with", str(tmp_path / "twice" / "lab.zip"))
    assert (twice.exit_code, "'lab'" in twice.stderr) == (2, True)
    (tmp_path / "broken.zip").write_bytes(lab.read_bytes()[:-200])
    broken = report("--with", str(tmp_path / "broken.zip"))
    assert broken.exit_code != 0
    assert "broken.zip" in broken.stderr
    assert report("--with", str(tmp_path / "none.zip")).exit_code == 2
