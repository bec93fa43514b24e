from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

from hdbench.errors import LibraryError
from hdbench.library import BENCHMARKS, KINDS, METHODS, SEGMENTERS, Library, library_root
from hdbench.segmentation.segmenter import load_segmenter

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library of its own with one method that others may extend."""
    for folder in (
        "models",
        "protocols/benchmarks",
        "protocols/label-spaces",
        "protocols/scoring",
        "reports",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("models/ours.toml", "protocols/label-spaces/camvid.toml"):
        (tmp_path / path).write_text((ROOT / path).read_text())
    return tmp_path


def variant(root: Path, text: str, name: str = "x") -> Library:
    (root / "models" / f"{name}.toml").write_text(f'name = "{name}"\n{text}')
    return Library(root)


def test_the_shipped_library_has_no_problems() -> None:
    assert Library().problems() == []


def test_ours_and_its_variant_say_what_the_paper_says() -> None:
    ours, without = Library().method("ours"), Library().method("ours-no-vgg")
    assert ours.kind == "pix2pixhd"
    assert without.kind == "pix2pixhd"
    assert ours.loss.model_dump() == {
        "gan": "lsgan",
        "feature_matching": 10.0,
        "perceptual": 10.0,
        "perceptual_form": "pix2pixhd",
        "l1": 0.0,
    }
    assert without.loss.perceptual == 0
    assert without.generator == ours.generator
    assert without.discriminator == ours.discriminator


def test_the_models_of_the_papers_study_differ_in_input_and_loss_alone() -> None:
    ours = Library().method("ours").model_dump(exclude={"name", "title", "source"})
    labels_only = {**ours, "input": {"boundaries": "none"}}
    without = {**labels_only, "loss": {**ours["loss"], "perceptual": 0.0}}
    for name, expected in (
        ("ours-labels-only", labels_only),
        ("ours-no-vgg-labels-only", without),
    ):
        method = Library().method(name)
        assert method.model_dump(exclude={"name", "title", "source"}) == expected


@pytest.mark.parametrize(
    ("name", "table", "keys"),
    [
        ("ours-gan-only", "loss", {"feature_matching": 0.0, "perceptual": 0.0}),
        ("ours-vanilla-gan", "loss", {"gan": "log"}),
        ("ours-single-discriminator", "discriminator", {"scales": 1}),
        ("ours-reflection-padding", "generator", {"resampling_padding": "reflection"}),
    ],
)
def test_an_ablation_differs_from_ours_in_its_switch_alone(
    name: str, table: str, keys: dict[str, object]
) -> None:
    expected = Library().method("ours").model_dump(exclude={"name", "title", "source"})
    expected[table].update(keys)
    assert Library().method(name).model_dump(exclude={"name", "title", "source"}) == expected


def test_the_methods_of_the_papers_ablations_exist() -> None:
    for name in ("loss-ablation", "instance-ablation", "discriminator-preference"):
        for row in Library().report(name).comparisons:
            assert {row.method, row.over} <= set(Library().entries(METHODS))


def test_cityscapes_says_what_the_paper_says() -> None:
    benchmark = Library().benchmark("cityscapes")
    assert (benchmark.size.width, benchmark.size.height) == (1024, 512)
    budget = benchmark.budget
    assert (budget.width, budget.epochs, budget.decay_epochs) == (1.0, 100, 100)
    assert (budget.batch_size, budget.precision) == (1, "fp32")


@pytest.mark.parametrize("name", Library().entries(BENCHMARKS))
def test_a_benchmark_and_its_scoring_share_a_label_space(name: str) -> None:
    benchmark = Library().benchmark(name)
    if benchmark.scoring is None:
        assert not benchmark.data.labelled
    else:
        assert Library().scoring(benchmark.scoring).label_space == benchmark.data.label_space.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "ours"\n[loss]\nperceptul = 0.0', r"\[loss\] .*'perceptul' .*'perceptual'"),
        ('extends = "ours"\n[losses]\nperceptual = 0.0', ".*'losses' .*'loss'"),
        (
            'extends = "ours"\n[generator]\nresidual_blocks = "9"',
            r"\[generator\] residual_blocks = '9': .*integer",
        ),
        (
            'extends = "ours"\n[generator]\nresidual_blocks = 0',
            r"\[generator\] residual_blocks = 0: .* 1$",
        ),
        ('extends = "ours"\n[loss]\ngan = "lsgam"', r"\[loss\] gan = 'lsgam' .*'lsgan'"),
        (
            'extends = "ours"\n[loss]\nfeature_matching = -1.0',
            r"\[loss\] feature_matching = -1\.0: .* 0$",
        ),
        ('extends = "ours"\n[loss]\nperceptual = nan', r"\[loss\] perceptual = nan: "),
        ('extends = "ours"\n[discriminator]\nscales = 0', r"\[discriminator\] scales = 0: .* 1$"),
        ('extends = "ours"\n[discriminator]\nlayers = 0', r"\[discriminator\] layers = 0: .* 1$"),
        (
            'extends = "ours"\n[discriminator]\nlayers = 2.5',
            r"\[discriminator\] layers = 2\.5: .*integer",
        ),
        (
            'extends = "ours"\n[generator]\nnetwork = "coarse-to-fin"',
            r"\[generator\] network = 'coarse-to-fin' .*coarse-to-fine",
        ),
        (
            'extends = "ours"\n[generator]\noutput_padding = "zero"',
            r"\[generator\] output_padding = 'zero' .*'zeros'",
        ),
        (
            'extends = "ours"\n[generator]\nresampling_padding = "reflect"',
            r"\[generator\] resampling_padding = 'reflect' .*'reflection'",
        ),
        ('extends = "our"', ".*'our' .*'ours'"),
        ('kind = "pix2pixhdd"', "kind = 'pix2pixhdd' .*'pix2pixhd'"),
        ("kind = ", ".*TOML"),
        ("kind = []", r"kind = \[\] .*floor, images, oracle, pix2pix, pix2pixhd"),
        ("extends = 3", "extends = 3"),
        (
            'extends = "ours"\n[optimizer]\nlearning_rate = inf',
            r"\[optimizer\] learning_rate = inf: ",
        ),
    ],
)
def test_a_wrong_file_is_an_error_with_file_key_and_nearest_name(
    root: Path, text: str, message: str
) -> None:
    with pytest.raises(LibraryError, match=rf"models/x\.toml: {message}"):
        variant(root, text).method("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[budget]\nepochs = 0\ndecay_epochs = 0",
            r"\[budget\] epochs and decay_epochs .* 0",
        ),
        (
            '[data]\ntrain = "train[16]"',
            r"\[data\] train = 'train\[16\]' .*'train'",
        ),
        (
            "[segmenter.training]\nscale_min = 3.0",
            r"\[segmenter\.training\] scale_min 3\.0 .*scale_max",
        ),
        (
            "[segmenter.training]\nsplit = 'val[2]'",
            r"\[segmenter\.training\] split = 'val\[2\]'",
        ),
        (
            "[data]\ntrain = 'val[:9]'",
            r"\[data\] train = 'val\[:9\]' and test = 'val'",
        ),
        (
            "[segmenter.training]\nsplit = 'val[:9]'",
            r"\[segmenter\.training\] split = 'val\[:9\]' and \[data\] test = 'val'",
        ),
    ],
)
def test_rules_between_keys_name_their_table(tmp_path: Path, text: str, message: str) -> None:
    assert re.search(rf"x\.toml: {message}", wrong_benchmark(tmp_path, "camvid", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nlabel_space = 'camvid'", r"\[data\] label_space = 'camvid'; .*'streets'"),
        ("[size]\nwidth = 512", r"\[size\] .* 512x128; .* 256x128 or 512x256"),
        ("[size]\nwidth = 40\nheight = 20", r"\[size\] .* 40x20; .* 64x32"),
    ],
)
def test_a_benchmark_of_scenes_that_cannot_be_drawn_is_an_error(
    tmp_path: Path, text: str, message: str
) -> None:
    assert re.search(rf"x\.toml: {message}", wrong_benchmark(tmp_path, "streets", text))


def wrong_benchmark(folder: Path, base: str, text: str) -> str:
    """What is said about a benchmark that extends another one."""
    path = folder / "x.toml"
    path.write_text(f'name = "x"\nextends = "{base}"\n{text}')
    with pytest.raises(LibraryError) as error:
        Library().benchmark(str(path))
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "mean_iou = 0.3948",
            "mean_iuo = 0.3948",
            r"\[rows\] entry 1 \[published\] .*'mean_iuo' .*'mean_iou'",
        ),
        ('title     = "CRN"', 'titel     = "CRN"', r"\[rows\] entry 2 .*'titel'"),
        (
            'method    = "crn"\npublished = { pixel_accuracy = 70.55, mean_iou = 0.3483 }\n',
            "",
            r"\[rows\] entry 2 .*method.*published",
        ),
    ],
)
def test_a_reports_rows_are_checked_one_by_one(
    root: Path, old: str, new: str, message: str
) -> None:
    text = (ROOT / "reports" / "table1.toml").read_text()
    assert old in text
    (root / "reports" / "table1.toml").write_text(text.replace(old, new))
    with pytest.raises(LibraryError, match=message):
        Library(root).report("table1")


def test_every_missing_key_is_an_error(root: Path) -> None:
    """A file is complete: take away any one key of 'ours' and it no longer loads."""
    lines = (ROOT / "models" / "ours.toml").read_text().splitlines()
    keys = [n for n, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    assert len(keys) > 15
    for n in keys:
        key = lines[n].split("=")[0].strip()
        if key in ("name", "kind"):  # these have messages of their own
            continue
        text = "\n".join(line for m, line in enumerate(lines) if m != n)
        (root / "models" / "ours.toml").write_text(text)
        with pytest.raises(LibraryError, match=f"key '{key}' "):
            Library(root).method("ours")


def test_all_problems_of_a_file_come_at_once(root: Path) -> None:
    library = variant(root, 'extends = "ours"\n[loss]\nperceptul = 0.0\n[input]\nboundary = "none"')
    assert len(library.problems()) == 2


def test_extends_goes_one_level_deep(root: Path) -> None:
    variant(root, 'extends = "ours"', "y")
    with pytest.raises(LibraryError, match=r"x\.toml: .*'y'.*'ours'"):
        variant(root, 'extends = "y"').method("x")


def test_a_name_is_the_files_own(root: Path) -> None:
    (root / "models" / "x.toml").write_text('name = "z"\nextends = "ours"')
    with pytest.raises(LibraryError, match=r"name = 'z'.*'x'"):
        Library(root).method("x")


def test_duplicate_names_are_errors(root: Path) -> None:
    (root / "models" / "more").mkdir()
    (root / "models" / "more" / "ours.toml").write_text("")
    with pytest.raises(LibraryError, match=r"'ours' .*models/(more/)?ours\.toml"):
        Library(root).method("ours")


def test_dangling_references_are_errors(root: Path) -> None:
    for path in ("protocols/benchmarks/camvid.toml", "reports/table1.toml"):
        (root / path).write_text((ROOT / path).read_text())
    problems = Library(root).problems()
    assert any(
        line.startswith("protocols/benchmarks/camvid.toml: scoring = 'camvid-std-v1': ")
        for line in problems
    )
    assert any("row 'oracle': method = 'oracle': " in line for line in problems)


def test_a_segmenter_that_does_not_ship_is_an_error(root: Path) -> None:
    for folder, name in (("benchmarks", "camvid"), ("scoring", "camvid-std-v1")):
        path = f"protocols/{folder}/{name}.toml"
        text = (
            (ROOT / path)
            .read_text()
            .replace('[segmenter]\nname = "own"', '[segmenter]\nname = "pspnet-v2"')
        )
        (root / path).write_text(text)
    write_card(root, "pspnet-v1")
    [problem] = Library(root).problems()
    assert problem.startswith("protocols/benchmarks/camvid.toml: [segmenter] name = 'pspnet-v2': ")
    assert "'pspnet-v1'" in problem
    missing = "'pspnet-v2' .*models/weights/.*'pspnet-v1'"
    with pytest.raises(LibraryError, match=missing):
        Library(root).segmenter("pspnet-v2")
    (root / "models" / "weights" / "pspnet-v2").mkdir()
    with pytest.raises(LibraryError, match=missing):
        Library(root).segmenter("pspnet-v2")
    write_card(root, "pspnet-v2")
    assert Library(root).problems() == []


def write_card(root: Path, name: str, text: str | None = None) -> Path:
    """A segmenter that ships: what the library reads of it."""
    folder = root / "models" / "weights" / name
    folder.mkdir(parents=True, exist_ok=True)
    card = {"architecture": "pspnet", "encoder": "resnet18", "trained_on": "camvid/train"}
    (folder / "segmenter.json").write_text(json.dumps(card) if text is None else text)
    return folder


def test_a_segmenter_that_ships_is_an_entry_like_any_other(root: Path) -> None:
    folder = write_card(root, "pspnet-v1")
    library = Library(root)
    assert library.title(SEGMENTERS, "pspnet-v1") == "pspnet on resnet18, trained on camvid/train"
    assert library.find("pspnet-v1") == (SEGMENTERS, folder / "segmenter.json")
    assert json.loads(library.resolved(SEGMENTERS, "pspnet-v1"))["encoder"] == "resnet18"
    with pytest.raises(LibraryError, match="'pspnet-v1'"):
        library.find("pspnet-v2")


@pytest.mark.parametrize(
    ("text", "fact"),
    [("{", "JSON: "), ("[]", "architecture, encoder"), ("{}", "architecture, encoder")],
)
def test_a_wrong_card_is_a_problem_of_the_library(root: Path, text: str, fact: str) -> None:
    write_card(root, "pspnet-v1", text)
    (problem,) = Library(root).problems()
    assert problem.startswith("models/weights/pspnet-v1/segmenter.json: ")
    assert fact in problem


def test_a_path_leads_to_a_file_of_scoring_and_to_a_folder_of_a_segmenter(
    root: Path, tmp_path: Path
) -> None:
    folder = write_card(root, "pspnet-v1")
    scoring = ROOT / "protocols" / "scoring" / "camvid-std-v1.toml"
    path = tmp_path / "x.toml"

    def problems(scoring: Path, segmenter: Path) -> list[str]:
        text = f'name = "x"\nextends = "camvid"\nscoring = "{scoring}"\n'
        text += f'[segmenter]\nname = "{segmenter}"'
        path.write_text(text)
        return Library().problems_in([path])

    assert problems(scoring, folder) == []
    (problem,) = problems(scoring.parent, folder)
    assert f"scoring = '{scoring.parent}': " in problem
    for path_of_none in (folder.parent, folder / "segmenter.json"):
        (problem,) = problems(scoring, path_of_none)
        assert f"[segmenter] name = '{path_of_none}': " in problem
    with pytest.raises(LibraryError, match=r"segmenter\.json"):
        Library().segmenter(str(folder.parent))


@pytest.mark.parametrize("name", Library().entries(SEGMENTERS))
def test_every_segmenter_that_ships_is_small_and_sound(name: str) -> None:
    """Loading checks its tensors against the digest on its card."""
    folder = Library().segmenter(name)
    card = load_segmenter(folder, torch.device("cpu")).card
    assert card.oracle is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8 * 2**20


def test_a_path_is_read_from_where_it_points(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nextends = "ours"\n[discriminator]\nscales = 1')
    method = Library().method(str(path))
    assert method.kind == "pix2pixhd"
    assert method.discriminator is not None
    assert method.discriminator.scales == 1
    with pytest.raises(LibraryError, match=rf"{tmp_path}/other\.toml: "):
        Library().method(str(tmp_path / "other.toml"))


def test_the_library_is_found_beside_the_package() -> None:
    assert library_root() == ROOT
    assert set(Library().entries(METHODS)) >= {"ours", "ours-no-vgg", "oracle"}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["wheel", "sdist"])
def test_the_wheel_carries_the_library(tmp_path: Path, source: str) -> None:
    """Build it, install it into a fresh environment, list the library from another folder."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path]
    subprocess.run(
        [*build, *(["--wheel"] if source == "wheel" else []), ROOT],
        check=True,
        capture_output=True,
        env=environment,
    )
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", wheel],
        check=True,
        capture_output=True,
        env=environment,
    )
    # Only hdbench itself is installed anew; what it needs comes from this environment, whose own
    # (editable) hdbench is not on that path.
    inside = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (inside / "outer.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    listed = subprocess.run(
        [tmp_path / "env" / "bin" / "hdbench", "list", "--json"],
        cwd=elsewhere,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    names = {entry["name"] for entry in json.loads(listed.stdout)}
    assert names == {name for kind in KINDS for name in Library().entries(kind)}
