"""``hdbench edit --script`` and the report of its scenes, on drawn faces in Helen's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import MACHINE, save_pixels
from PIL import Image, ImageDraw
from styled import FILE, METHOD

from hdbench.cli.main import cli as command
from hdbench.schema.method import require_trained
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace

pytestmark = pytest.mark.slow
SKIN, EYE, NOSE, LIP, HAIR = 1, 4, 6, 9, 10
FACES = """
extends = "cityscapes"
name    = "faces"
title   = "Faces"
source  = "a test"
scoring = "helen-std-v1"

[data]
layout      = "helen"
label_space = "helen"
train       = "train"
test        = "test"

[size]
width  = 32
height = 32

[budget]
width         = 0.0625
epochs        = 1
decay_epochs  = 1
downsamplings = 2
ema           = 0.0
"""


def draw_face(root: Path, name: str, seed: int) -> None:
    """Write a face of ellipses: 11 maps of probabilities, and a photograph in two tones of skin."""
    dice = np.random.default_rng(seed)
    parts = Image.new("L", (32, 32), 0)
    draw = ImageDraw.Draw(parts)
    x, y = (int(shift) for shift in dice.integers(-2, 3, 2))
    draw.ellipse((6 + x, 2 + y, 26 + x, 26 + y), fill=HAIR)
    draw.ellipse((9 + x, 7 + y, 23 + x, 28 + y), fill=SKIN)
    for left in (11, 18):
        draw.ellipse((left + x, 13 + y, left + 3 + x, 15 + y), fill=EYE)
    draw.rectangle((15 + x, 16 + y, 16 + x, 20 + y), fill=NOSE)
    draw.ellipse((12 + x, 22 + y, 20 + x, 25 + y), fill=LIP)
    labels = np.array(parts)
    for part in range(11):
        values = np.where(labels == part, 200, 20).astype(np.uint8)
        save_pixels(root / "labels" / name / f"{name}_lbl{part:02}.png", values)
    colours = dice.integers(0, 256, (11, 3))
    pixels = np.clip(colours[labels] + dice.integers(-9, 10, (32, 32, 3)), 0, 255)
    save_pixels(root / "images" / f"{name}.jpg", pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained method with styles on four faces; two more are edited."""
    root = tmp_path_factory.mktemp("faces")
    lists = {"exemplars": ("1_1", "2_1", "5_1", "6_1"), "testing": ("3_1",), "tuning": ("4_1",)}
    for text, names in lists.items():
        (root / "data" / f"{text}.txt").parent.mkdir(exist_ok=True)
        lines = "".join(f"{n} , {name}\n" for n, name in enumerate(names, 1))
        (root / "data" / f"{text}.txt").write_text(lines)
        for name in names:
            draw_face(root / "data", name, int(name[0]))
    (root / "faces.toml").write_text(FACES)
    (root / "ws" / "methods").mkdir(parents=True)
    (root / "ws" / "methods" / f"{METHOD}.toml").write_text(FILE)
    (root / "hdbench.toml").write_text(
        f'benchmark = "{root}/faces.toml"\ndata_root = "data"\nworkspace = "ws"\n'
    )
    bench = open_bench(Workspace(root / "ws", root / "data", str(root / "faces.toml")))
    train_method(bench, require_trained(bench.library.method(METHOD)), 0, MACHINE)
    return root


def run(root: Path, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Result:
    monkeypatch.chdir(root)
    return CliRunner().invoke(command, [str(word) for word in words])


EDITS: list[dict[str, Any]] = [
    {
        "scene": "3_1",
        "name": "long-hair",
        "title": "long hair, another colour",
        "edits": [
            {
                "do": "paint",
                "tool": "polygon",
                "label": HAIR,
                "points": [[4, 8], [9, 8], [9, 30], [4, 30]],
            },
            {"do": "style", "region": HAIR, "style": [0.5, -0.5, 0.9]},
        ],
    },
    {
        "scene": "3_1",
        "name": "no-nose",
        "title": "no nose",
        "edits": [{"do": "remove", "region": NOSE}],
    },
]


def test_a_script_edits_faces_and_the_report_has_a_row_for_each(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (faces / "edits.json").write_text(json.dumps({"scenes": EDITS}))
    done = run(faces, monkeypatch, "edit", METHOD, "--script", "edits.json", "--out", "out")
    assert done.exit_code == 0, done.stderr
    before, after = (
        np.asarray(Image.open(faces / "out" / part / "long-hair.png")).astype(int)
        for part in ("before", "images")
    )
    assert before.shape == after.shape == (32, 32, 3)
    assert (before != after).any()
    labels = np.asarray(Image.open(faces / "out/labels/no-nose.png"))
    assert NOSE not in labels
    assert not (faces / "out/instances").exists()
    made = run(faces, monkeypatch, "synthesize", "--method", METHOD, "--edited", "out")
    assert made.exit_code == 0, made.stderr
    folder = Path(made.stdout.split(" in ")[1].strip())
    for name in ("long-hair", "no-nose"):
        again = (faces / folder / f"{name}.png").read_bytes()
        assert again == (faces / "out/images" / f"{name}.png").read_bytes()
    report = run(faces, monkeypatch, "report", "editing", "--edited", "out")
    assert report.exit_code == 0, report.stderr
    page = (faces / "ws/reports/editing.faces.html").read_text()
    assert "long hair, another colour" in page
    assert "no nose" in page
    with Image.open(faces / "ws/reports/editing.faces.pictures.png") as sheet:
        assert sheet.height > 2 * 2 * 32  # two scenes, each with its changed part below


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scene": "3_2"}, "3_1"),
        ({"name": "no-nose"}, "no-nose"),
        ({"name": "../x"}, "scene 1 name"),
        ({"edits": []}, "scene 1 edits"),
        ({"edits": [{"do": "remove", "region": 77}]}, "edit 1 (remove)"),
        ({"edits": [{"do": "style", "region": HAIR, "style": 99}]}, "edit 1 (style)"),
        ({"edits": [{"do": "fly"}]}, "scene 1 edit 1"),
    ],
)
def test_a_wrong_script_exports_nothing_and_names_scene_and_edit(
    faces: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str
) -> None:
    wrong = [{**EDITS[0], **change}, EDITS[1]]
    (faces / "wrong.json").write_text(json.dumps({"scenes": wrong}))
    done = run(faces, monkeypatch, "edit", METHOD, "--script", "wrong.json", "--out", "none")
    assert done.exit_code == 2
    assert named in done.stderr
    assert not (faces / "none").exists()


def test_an_empty_workspace_and_a_strange_folder_say_what_to_do(
    faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = run(faces, monkeypatch, "report", "editing", "--workspace", tmp_path)
    assert empty.exit_code == 1
    assert "hdbench edit" in empty.stderr
    strange = run(faces, monkeypatch, "report", "editing", "--edited", faces / "data")
    assert strange.exit_code == 2
    assert "edited.json" in strange.stderr
    into = run(faces, monkeypatch, "edit", METHOD, "--script", "edits.json", "--out", "data")
    assert into.exit_code == 2
    assert "data: holds something else" in into.stderr
