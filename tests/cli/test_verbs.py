"""What a user types and reads: results on stdout, errors with the next step, exit statuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result
from conftest import hdbench_process, write_small_streets
from PIL import Image

from hdbench.cli.main import cli as command
from hdbench.errors import HdbenchError
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import load_result, result_path

Cli = Callable[..., Result]


def every_verb(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = []
    for name, verb in group.commands.items():
        paths.append((*path, name))
        if isinstance(verb, click.Group):
            paths += every_verb(verb, (*path, name))
    return paths


@pytest.mark.parametrize("path", every_verb(command), ids=" ".join)
def test_every_verb_has_help_with_an_example(cli: Cli, path: tuple[str, ...]) -> None:
    result = cli(*path, "--help")
    assert result.exit_code == 0
    verb = command
    for name in path:
        assert isinstance(verb, click.Group)
        verb = verb.commands[name]
    if not isinstance(verb, click.Group) and verb.params and path != ("list",):
        examples = [line for line in result.output.splitlines() if line.startswith("    hdbench ")]
        assert any(line.split()[1 : len(path) + 1] == list(path) for line in examples)


def test_list_names_everything(cli: Cli) -> None:
    entries = json.loads(cli("list", "--json").stdout)
    assert {"kind": "method", "name": "ours", "title": "pix2pixHD"} in entries
    text = cli("list").stdout
    assert all(entry["name"] in text for entry in entries)


def test_show_prints_the_file_and_the_resolved_values(cli: Cli, tmp_path: Path) -> None:
    assert 'extends = "ours"' in cli("show", "ours-no-vgg").stdout
    resolved = json.loads(cli("show", "ours-no-vgg", "--resolved").stdout)
    assert resolved["loss"] == {
        "gan": "lsgan",
        "feature_matching": 10.0,
        "perceptual": 0.0,
        "perceptual_form": "pix2pixhd",
        "l1": 0.0,
    }
    (tmp_path / "mine.toml").write_text('name = "mine"\nextends = "ours"')
    assert json.loads(cli("show", "./mine.toml", "--resolved").stdout)["name"] == "mine"
    wrong = cli("show", "tabel1")
    assert wrong.exit_code == 2
    assert "'table1'" in wrong.stderr


def test_segmenters_that_ship_are_listed_and_shown(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "library" / "models" / "weights" / "pspnet-v1"
    folder.mkdir(parents=True)
    card = {"architecture": "pspnet", "encoder": "resnet18", "trained_on": "camvid/train"}
    (folder / "segmenter.json").write_text(json.dumps(card))
    monkeypatch.setattr("hdbench.library.files.library_root", lambda: tmp_path / "library")
    title = "pspnet on resnet18, trained on camvid/train"
    assert json.loads(cli("list", "--json").stdout) == [
        {"kind": "segmenter", "name": "pspnet-v1", "title": title}
    ]
    assert cli("list").stdout == f"segmenters\n  pspnet-v1  {title}\n"
    assert cli("show", "pspnet-v1").stdout.startswith(f"# segmenter: {folder}/segmenter.json\n{{")
    assert json.loads(cli("show", "pspnet-v1", "--resolved").stdout) == card
    assert cli("check").stdout.startswith("1 file")


def test_check_accepts_the_library_and_names_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    assert cli("check").exit_code == 0
    (tmp_path / "x.toml").write_text('name = "x"\nextends = "ours"\n[loss]\nperceptul = 1.0')
    result = cli("check", "x.toml")
    assert result.exit_code == 2
    assert re.search(r"x\.toml: \[loss\] .*'perceptul'.*'perceptual'", result.stderr)


def test_init_writes_what_later_commands_read(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'new "folder"'
    folder.mkdir()
    monkeypatch.chdir(folder)
    data = tmp_path / "camvid"
    assert cli("init", "--benchmark", "camvid", "--data-root", data).exit_code == 0
    assert cli("data", "check").exit_code == 0
    again = cli("init", "--benchmark", "camvid", "--data-root", data)
    assert again.exit_code == 2
    assert f"{folder / 'hdbench.toml'}: " in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--benchmark", "camvit", "--data-root", "camvid"), "'camvid'"),
        (("--benchmark", "camvid", "--data-root", "nowhere"), "nowhere: "),
    ],
)
def test_init_refuses_what_does_not_exist(cli: Cli, words: tuple[str, ...], message: str) -> None:
    result = cli("init", *words)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.slow
def test_init_needs_a_data_root_exactly_where_the_scenes_are_not_built_in(
    bare_cli: Cli, camvid_folder: Path
) -> None:
    lacking = bare_cli("init", "--benchmark", "camvid")
    assert lacking.exit_code == 2
    assert re.search("'camvid'.*--data-root DIR", lacking.stderr)
    needless = bare_cli("init", "--benchmark", "streets-smoke", "--data-root", camvid_folder)
    assert needless.exit_code == 2
    assert f"--data-root {camvid_folder}: " in needless.stderr
    assert bare_cli("init", "--benchmark", "streets-smoke").exit_code == 0
    assert "data_root" not in Path("hdbench.toml").read_text()
    assert "train[:12]: 12 scenes" in bare_cli("data", "check").stdout


def test_a_data_root_is_refused_where_it_is_needless_but_may_be_remembered(
    cli: Cli, camvid_folder: Path, tmp_path: Path
) -> None:
    words = ("data", "preview", "--benchmark", write_small_streets(tmp_path), "--split", "val[:1]")
    given = cli(*words, "--data-root", camvid_folder)
    assert given.exit_code == 2
    assert f"--data-root {camvid_folder}: " in given.stderr
    assert cli(*words).exit_code == 0  # hdbench.toml names the dataset of another benchmark


def test_a_dataset_that_nothing_names_is_asked_for(bare_cli: Cli, camvid_folder: Path) -> None:
    result = bare_cli("data", "check", "--benchmark", "camvid")
    assert result.exit_code == 2
    assert "hdbench init --benchmark camvid --data-root DIR" in result.stderr
    result = bare_cli("data", "check", "--data-root", camvid_folder)
    assert result.exit_code == 2
    assert "--benchmark" in result.stderr


def test_without_any_configuration_the_benchmark_is_streets(bare_cli: Cli) -> None:
    result = bare_cli("data", "preview", "--split", "val[:1]")
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).samefile("hdbench-runs/previews/streets-val.png")
    assert Path("hdbench-runs/data/streets-v1-256x128/streets.json").is_file()


def test_a_misspelt_key_in_the_configuration_is_named(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "hdbench.toml"
    path.write_text(path.read_text() + 'benchmarc = "x"\n')
    assert re.search(r"hdbench\.toml: .*'benchmarc'.*'benchmark'", cli("data", "check").stderr)


# -- data -----------------------------------------------------------------------------------------


def test_data_check_lists_everything_that_is_wrong_with_counts(
    cli: Cli, camvid_folder: Path
) -> None:
    (camvid_folder / "train" / "train_01.png").unlink()
    cut = camvid_folder / "train" / "train_02.png"
    cut.write_bytes(cut.read_bytes()[:500])
    Image.new("L", (96, 72), 200).save(camvid_folder / "trainannot" / "train_03.png")
    Image.new("RGB", (96, 72)).save(camvid_folder / "valannot" / "val_00.png")
    Image.new("RGB", (96, 71)).save(camvid_folder / "val" / "val_01.png")
    result = cli("data", "check")
    assert result.exit_code == 1
    for expected in (
        "trainannot/train_01.png: .*/train/train_01",
        "train/train_02.png: .*500 bytes",
        "trainannot/train_03.png: id 200 .6912 pixels.*'camvid'.* 0 to 11",
        "valannot/val_00.png: mode RGB",
        "val/val_01.png: 96x71, .* 96x72",
        "train: 7 scenes .5 of 96x72",
    ):
        assert re.search(expected, result.stdout)
    assert "5 problems" in result.stderr


def test_data_check_and_preview_understand_slices(cli: Cli, tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + '\n[data]\ntrain = "train[:5]"\n')
    assert "train[:5]: 5 scenes (5 of 96x72)" in cli("data", "check").stdout
    assert cli("data", "preview", "--split", "val[:2]").exit_code == 0
    wrong = cli("data", "preview", "--split", "val[2]")
    assert wrong.exit_code == 2
    assert "--split: 'val[2]'" in wrong.stderr


def test_data_check_finds_every_fault_of_one_scene_and_photographs_in_two_splits(
    cli: Cli, camvid_folder: Path
) -> None:
    (camvid_folder / "train" / "train_02.png").write_bytes(b"")
    Image.new("L", (96, 72), 99).save(camvid_folder / "trainannot" / "train_02.png")
    leaked = camvid_folder / "val" / "val_01.png"
    with Image.open(camvid_folder / "train" / "train_05.png") as photograph:
        photograph.save(leaked, compress_level=1)  # other bytes, the same pixels
    result = cli("data", "check")
    assert "trainannot/train_02.png: id 99" in result.stdout
    assert re.search("train/train_02.png: .* 0 bytes", result.stdout)
    assert re.search("val/val_01.png: .*train/train_05.png", result.stdout)
    assert "3 problems" in result.stderr


def test_data_check_counts_pixels_by_class(cli: Cli) -> None:
    text = cli("data", "check").stdout
    assert "train: 8 scenes (8 of 96x72)" in text
    shares = [float(share) for share in re.findall(r"([\d.]+) %", text)]
    assert sum(shares) == pytest.approx(200, abs=2)


def test_an_empty_dataset_is_explained(cli: Cli, camvid_folder: Path) -> None:
    for folder in camvid_folder.iterdir():
        for path in folder.iterdir():
            path.unlink()
    for words in (("data", "check"), ("train", "ours-no-vgg"), ("segmenter", "train")):
        result = cli(*words)
        assert result.exit_code == 1
        assert re.search("(train|val)annot: ", result.output)


def test_data_preview_draws_a_sheet(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "preview", "--count", "5", "--output", "sheet.png")
    assert result.exit_code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 6 * 64
        assert sheet.height > 3 * 48


@pytest.mark.slow
def test_built_in_scenes_are_drawn_when_needed_and_only_as_many(
    bare_cli: Cli, tmp_path: Path
) -> None:
    benchmark = write_small_streets(tmp_path)
    assert (
        bare_cli("data", "preview", "--benchmark", benchmark, "--split", "val[:1]").exit_code == 0
    )
    drawn = Path("hdbench-runs/data/streets-v1-64x32/leftImg8bit")
    assert [path.name for path in drawn.rglob("*.png")] == ["streets_000002_000000_leftImg8bit.png"]
    result = bare_cli("data", "check", "--benchmark", benchmark)
    assert result.exit_code == 0
    for line in ("train[:4]: 4 scenes", "judge[:4]: 4 scenes", "val[:2]: 2 scenes"):
        assert line in result.stdout
    assert len(list(drawn.rglob("*.png"))) == 10
    wrong = bare_cli("data", "preview", "--benchmark", benchmark, "--split", "vall")
    assert wrong.exit_code == 2
    assert re.search("'vall'.*'val'", wrong.stderr)


def test_export_writes_streets_and_says_where_and_how_many(bare_cli: Cli) -> None:
    words = ("data", "export", "streets", "--output", "out", "--size", "64x32", "--count", "2")
    result = bare_cli(*words)
    assert result.exit_code == 0
    assert result.stdout == "out\ntrain: 2 scenes\nval: 2 scenes\n"
    assert len(list(Path("out/leftImg8bit").rglob("*.png"))) == 4
    assert bare_cli(*words).stdout == result.stdout
    for size, message in (
        ("64", "'--size': '64'"),
        ("64x64", "64x32 or 128x64"),
        ("128x64", "version 1 at 128x64"),
    ):
        again = bare_cli("data", "export", "streets", "--output", "out", "--size", size)
        assert again.exit_code > 0
        assert message in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "40x20"), "64x32"),
        (("--split", "train", "--split", "vall"), "'vall'"),
        (("--count", "101"), "'val' has 100 scenes; 101"),
    ],
)
def test_export_refuses_what_cannot_be_drawn_before_anything_is_written(
    bare_cli: Cli, words: tuple[str, ...], message: str
) -> None:
    result = bare_cli("data", "export", "streets", "--output", "out", "--size", "64x32", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("out").exists()


# -- train, evaluate, report ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_plan_says_everything_and_trains_nothing(
    cli: Cli, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what only method and budget together say: downsamplings and the generator's rate."""
    monkeypatch.setattr("hdbench.training.plan.peak_bytes", lambda *_, **__: 10**10)
    tiny = Path(bench.workspace.benchmark)
    budget = "downsamplings = 3\ngenerator_rate = 2.5"
    tiny.write_text(tiny.read_text().replace("downsamplings = 4", budget))
    planned = json.loads(cli("train", "ours-no-vgg", "--plan", "--json").stdout)
    assert [stage["steps"] for stage in planned["stages"]] == [16]
    assert planned["timing"]["seconds"]
    run = planned["run"]
    assert run["identity"]["method"]["loss"]["perceptual"] == 0
    assert run["identity"]["method"]["generator"]["downsamplings"] == 4
    assert run["generator"] == "4 channels, 3 downsamplings, 9 residual blocks"
    assert run["generator_peak_rate"] == pytest.approx(5e-4)
    assert not bench.run_folder("ours-no-vgg", 0).exists()


@pytest.mark.slow
def test_a_plan_needs_no_data_and_takes_another_size(
    bare_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdbench.training.plan.peak_bytes", lambda *_, **__: 10**10)
    monkeypatch.setattr("hdbench.training.plan._timed", lambda *_: refuse_to_time())
    result = bare_cli(
        *("train", "ours-full", "--benchmark", "cityscapes", "--plan"),
        *("--size", "128x64", "--batch", "2"),
    )
    assert result.exit_code == 0
    for words in (
        "128x64",
        "64x32",
        "batch 2",
        "G 182.9",
        "16 GB",
        'precision = "bf16"',
        "no time",
    ):
        assert words in result.stdout
    wrong = bare_cli(
        "train", "ours-4k", "--benchmark", "cityscapes", "--plan", "--size", "1000x512"
    )
    assert wrong.exit_code == 2
    assert "960 or 1024" in wrong.stderr
    alone = bare_cli("train", "ours-full", "--size", "128x64")
    assert alone.exit_code == 2
    assert "--plan" in alone.stderr


def refuse_to_time() -> None:
    raise HdbenchError("no time")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("train", "ours-no-vg"), 2, "'ours-no-vgg'"),
        (("train", "floor-nearest"), 2, "'floor'"),
        (("train", "ours", "--vgg-weights", "none.pth"), 2, "--vgg-weights none.pth"),
        (("train", "ours"), 1, "hdbench perceptual train"),
        (("train", "ours-no-vgg", "--device", "cuda:7"), 2, "--device cpu"),
        (("train", "ours-no-vgg", "--device", "foo"), 2, "--device foo: "),
        (("evaluate", "--method", "ours-no-vgg"), 1, "hdbench segmenter train"),
        (("evaluate", "--segmenter", "nowhere"), 1, "nowhere/segmenter.json: "),
        (("synthesize", "--method", "ours-no-vgg"), 1, "'hdbench train ours-no-vgg'"),
        (("report", "table1"), 1, "hdbench segmenter train"),
        (("report", "table9"), 2, "'table9'"),
    ],
)
def test_misuse_says_what_and_what_next(
    cli: Cli, words: tuple[str, ...], status: int, message: str
) -> None:
    result = cli(*words)
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_sides_that_do_not_divide_are_named_with_sizes_that_do(cli: Cli, tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("width  = 64", "width  = 72"))
    result = cli("train", "ours-no-vgg")
    assert result.exit_code == 2
    assert re.search(r"\[size\] width = 72 .* 16, .*64 or 80", result.stderr)
    tiny.write_text(tiny.read_text().replace("width  = 72", "width  = 68"))
    assert "pspnet" in cli("segmenter", "train").stderr


def test_a_folder_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the workspace should be")
    result = cli("train", "ours-no-vgg", "--workspace", "taken")
    assert result.exit_code == 1
    assert "taken/" in result.stderr
    assert "--workspace" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_from_evaluation_to_report(cli: Cli, trained: Bench) -> None:
    records = json.loads(cli("evaluate", "--method", "ours-no-vgg", "--json").stdout)
    assert [record["method"] for record in records][:2] == ["ours-no-vgg", "oracle"]
    assert len({record["fingerprint"] for record in records}) == 1
    text = cli("evaluate", "--method", "ours-no-vgg").stdout
    assert f"{records[0]['mean_iou']:.4f}" in text
    assert "bicyclist" in text
    table = cli("report", "table1").stdout
    assert "published: Cityscapes" in table
    assert "83.78" in table
    assert f"{records[0]['mean_iou']:.4f}" in table
    written = {path.suffix for path in trained.workspace.reports().iterdir()}
    assert written == {".txt", ".md", ".csv", ".tex", ".svg", ".png", ".html"}


@pytest.mark.slow
def test_another_scoring_may_count_and_stands_apart(
    cli: Cli, trained: Bench, tmp_path: Path
) -> None:
    text = 'name = "edges"\nextends = "camvid-std-v1"\n[labels]\nedge_band = 2\n'
    (tmp_path / "edges.toml").write_text(text)
    own = json.loads(cli("evaluate", "--json").stdout)[0]
    edges = json.loads(cli("evaluate", "--scoring", "edges.toml", "--json").stdout)[0]
    assert (own["scoring"], edges["scoring"]) == ("camvid-std-v1", "edges")
    assert own["fingerprint"] != edges["fingerprint"]
    assert load_result(result_path(trained, "oracle", 0)).fingerprint == own["fingerprint"]
    assert edges["fingerprint"][:16] in cli("evaluate", "--scoring", "edges.toml").stdout
    wrong = cli("evaluate", "--scoring", "camvid-std-v2")
    assert wrong.exit_code == 2
    assert "'camvid-std-v1'" in wrong.stderr


@pytest.mark.slow
def test_several_scorings_policies_and_a_recheck(cli: Cli, trained: Bench) -> None:
    names = ("camvid-std-v1", "camvid-table1-v1")
    words = ("evaluate", *(word for name in names for word in ("--scoring", name)))
    result = cli(*words, "--recheck", "2", "--json")
    assert result.exit_code == 0, result.stderr
    records = json.loads(result.stdout)
    assert [record["scoring"] for record in records] == [names[0]] * 4 + [names[1]] * 4
    assert result.stderr.count(": 2 of 2 images") == 10
    for record in records:
        path = result_path(trained, record["method"], 0, scoring=record["scoring"])
        assert load_result(path).fingerprint == record["fingerprint"]
    text = cli(*words).stdout
    assert "void-class" in text
    assert text.count("3 images of Tiny") == 2
    policies = cli("evaluate", "--policies").stdout
    assert "void pixels in pixel accuracy: " in policies
    assert f"{records[0]['mean_iou']:.4f}" in policies
    ways = json.loads(cli("evaluate", "--policies", "--json").stdout)
    assert ways[0]["mean_iou"] == records[0]["mean_iou"]
    twice = cli("evaluate", "--scoring", names[0], "--scoring", names[0])
    assert twice.exit_code == 2
    assert f"--scoring {names[0]}" in twice.stderr


def test_a_window_that_the_segmenter_was_not_trained_at_is_refused(
    cli: Cli, trained: Bench, tmp_path: Path
) -> None:
    text = (
        'name = "wide"\nextends = "camvid-std-v1"\n[segmenter]\nwindow = "96x72"\n'
        'image_size = "native"\n'
    )
    (tmp_path / "wide.toml").write_text(text)
    refused = cli("evaluate", "--scoring", "wide.toml")
    assert refused.exit_code == 2
    assert re.search("'wide'.*64x48", refused.stderr)


def test_a_report_of_nothing_names_the_next_step(cli: Cli, trained: Bench) -> None:
    result_path(trained, "oracle", 0).unlink()
    assert "'tiny'" in cli("report", "table1").stderr


@pytest.mark.slow
def test_a_measured_method_of_the_users_own_gets_a_row(
    cli: Cli, trained: Bench, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nextends = "floor-nearest"\ntitle = "Mine"')
    early = cli("report", "--method", "./mine.toml")
    assert early.exit_code == 1
    assert "'hdbench evaluate --method ./mine.toml'" in early.stderr
    assert cli("evaluate", "--method", "./mine.toml").exit_code == 0
    table = cli("report", "--method", "./mine.toml").stdout
    rows = [line.split("  ")[0] for line in table.splitlines()]
    assert rows[rows.index("Floor: mean colours") + 1] == "Mine"
    assert len(cli("report").stdout.splitlines()) == len(table.splitlines()) - 1


@pytest.mark.slow
def test_another_segmenter_may_score(cli: Cli, trained: Bench, tmp_path: Path) -> None:
    trained.segmenter_folder().rename(tmp_path / "other")
    assert cli("evaluate", "--segmenter", "other").exit_code == 0


@pytest.mark.slow
def test_segmenter_train_says_when_another_one_goes_on_judging(
    cli: Cli, trained: Bench, tiny: Path, tmp_path: Path
) -> None:
    assert "hdbench evaluate --segmenter" not in cli("segmenter", "train").stderr
    shipped = shutil.copytree(trained.segmenter_folder(), tmp_path / "weights" / "pspnet-v1")
    tiny.write_text(f'{tiny.read_text()}\n[segmenter]\nname = "{shipped}"\n')
    result = cli("segmenter", "train")
    assert result.exit_code == 0
    assert f"'{shipped}'" in result.stderr
    assert f"hdbench evaluate --segmenter {trained.segmenter_folder()}" in result.stderr


@pytest.mark.slow
def test_the_installed_command_answers(tmp_path: Path) -> None:
    process = hdbench_process("--version", cwd=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.startswith("hdbench, version ")
