"""What a build writes, what it refuses, and what is left when it is stopped."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import add_images, save_pixels
from packets import protocol_with, rows_of, study_of
from PIL import Image

from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.scene import resize_photograph
from hdbench.errors import DataError, HdbenchError, StorageError, UsageError
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.regions import largest_objects
from hdbench.study.packet import build as packets
from hdbench.study.packet.build import Built, Flags, build
from hdbench.study.packet.gathering import Material, gather
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

Cli = Callable[..., Result]
PILOT = ("study", "build", "--study", "pilot", "--methods", "alpha,beta")
FLAGS = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)


def built(
    bench: Bench,
    folder: Path,
    methods: str = "alpha,beta",
    protocol: StudyProtocol | None = None,
    key: str | None = None,
) -> Built:
    protocol = protocol or bench.library.study("pilot")
    names = methods.split(",")
    material = gather(bench, protocol, names, None, 0, False, None)
    return build(bench, protocol, material, None, FLAGS, folder, key)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_packet_holds_what_its_parts_need(packet: Path) -> None:
    study, rows = study_of(packet), rows_of(packet)
    assert study["methods"] == ["alpha", "beta", "oracle"]
    assert study["reference"] == "oracle"
    assert study["pairs"] == [["alpha", "beta"], ["alpha", "oracle"], ["beta", "oracle"]]
    judged = [row for row in rows if row["kind"] == "judgment"]
    assert len(judged) == 3 * 3 * 2  # pairs, scenes, R
    packet_ids = study["packet_ids"]
    assert len(packet_ids) == study["packets"] == 6
    assert {path.stem for path in (packet / "web" / "packets").iterdir()} == set(packet_ids)
    for number, name in enumerate(packet_ids):
        public = json.loads((packet / "web" / "packets" / f"{name}.json").read_text())
        mine = [row for row in rows if row["packet"] == number]
        assert [trial["trial"] for trial in public["trials"]] == [row["trial"] for row in mine]
        assert [trial["feedback"] for trial in public["trials"]] == [
            row["expected"] if row["kind"] == "practice" else None for row in mine
        ]
    shown = {name for row in rows for name in (row["left_image"], row["right_image"])}
    for place in ("images", "web/images"):
        assert {path.name for path in (packet / place).iterdir()} >= shown
    assert (packet / "web" / "index.html").is_file()
    assert not any((packet / "results").iterdir())


def test_images_are_the_methods_pixels_and_the_reference_is_resized_as_in_scoring(
    imaged: Bench, packet: Path
) -> None:
    study = study_of(packet)
    size = imaged.benchmark.size
    for name, content in study["images"].items():
        pixels = read_photograph(packet / "images" / f"{name}.png")
        if content["role"] != "method":
            assert pixels.shape == (3, size.height, size.width)
            continue
        scene = next(
            entry for entry in imaged.dataset.test_scenes if entry.name == content["scene"]
        )
        if content["method"] == "oracle":
            expected = resize_photograph(read_photograph(scene.image), size.height, size.width)
        else:
            folder = imaged.image_folder(content["method"], 0)
            expected = read_photograph(folder / f"{scene.name}.png")
        assert torch.equal(pixels, expected)


def test_checks_show_training_photographs_beside_their_labels(imaged: Bench, packet: Path) -> None:
    study = study_of(packet)
    training = {entry.name: entry for entry in imaged.dataset.train_scenes}
    size = imaged.benchmark.size
    seen = set()
    for row in rows_of(packet):
        if row["kind"] == "judgment":
            continue
        assert row["a"] is row["left"] is row["scene"] is None
        right_answer = study["images"][row[f"{row['expected']}_image"].removesuffix(".png")]
        assert right_answer["shows"] == "photograph"
        scene = read_scene(training[right_answer["scene"]], imaged.space)
        other = "left" if row["expected"] == "right" else "right"
        painted = read_photograph(packet / "images" / row[f"{other}_image"])
        label = scene.resized(size.height, size.width).label
        assert torch.equal(painted, imaged.space.paint(label))
        seen.add(right_answer["scene"])
    assert not seen & {entry.name for entry in imaged.dataset.test_scenes}


def test_blurred_checks_are_of_the_same_photograph(imaged: Bench, tmp_path: Path) -> None:
    protocol = protocol_with(checks={"kind": "blur"})
    study = built(imaged, tmp_path / "p", protocol=protocol).study
    shown = {image.shows: name for name, image in study.images.items() if image.shows}
    sharp, blurred = (
        np.asarray(Image.open(tmp_path / "p" / "images" / f"{shown[kind]}.png"), np.float64)
        for kind in ("photograph", "blur")
    )
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.5 * np.abs(np.diff(sharp, axis=1)).mean()


def test_timed_packets_carry_durations_and_patterns(imaged: Bench, tmp_path: Path) -> None:
    protocol = protocol_with(
        "limited", design={"judgments_per_pair": 14}, checks={"count": 2}, practice={"count": 3}
    )
    folder = built(imaged, tmp_path / "p", protocol=protocol).folder
    rows = rows_of(folder)
    durations = protocol.design.durations_ms
    assert {row["duration_ms"] for row in rows if row["kind"] == "judgment"} == set(durations)
    assert {row["duration_ms"] for row in rows if row["kind"] == "check"} == {8000}
    opening = [row["duration_ms"] for row in rows if row["packet"] == 0][:3]
    assert opening == sorted(opening, reverse=True)
    masks = {row["mask_image"] for row in rows}
    assert len(masks) == 8  # 3 practice trials, 3 judgments and 2 checks, a pattern for each
    pictures = [np.asarray(Image.open(folder / "images" / name)) for name in masks]
    assert all(picture.shape == (48, 64, 3) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(masks)


def test_the_same_inputs_and_key_make_the_same_bytes_and_another_seed_does_not(
    imaged: Bench, tmp_path: Path
) -> None:
    one, same = (built(imaged, tmp_path / name, key="ab" * 32) for name in ("one", "same"))
    assert contents(one.folder) == contents(same.folder)
    protocol = imaged.library.study("pilot")
    material = gather(imaged, protocol, ["alpha", "beta"], None, 0, False, None)
    other = build(imaged, protocol, material, None, Flags(1, 0, False, None), tmp_path / "other")
    assert other.study.design_hash != one.study.design_hash
    assert not set(other.study.images) & set(one.study.images)


def test_renaming_a_method_renames_its_images_alone(imaged: Bench, tmp_path: Path) -> None:
    before = built(imaged, tmp_path / "before", key="ab" * 32)
    folder = imaged.run_folder("beta", 0)
    folder.parent.rename(folder.parent.with_name("gamma"))
    after = built(imaged, tmp_path / "after", "alpha,gamma", key="ab" * 32)
    assert after.study.design_hash == before.study.design_hash
    assert after.study.packet_ids == before.study.packet_ids
    new = {"alpha": "alpha", "beta": "gamma", None: None}
    for row, other in zip(rows_of(before.folder), rows_of(after.folder), strict=True):
        assert [new[row[key]] for key in ("left", "right")] == [other["left"], other["right"]]
        assert row["trial"] == other["trial"]


def test_a_second_build_changes_nothing_and_other_inputs_are_refused(
    cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    assert imaged.dataset.test_scenes
    first = cli(*PILOT)
    assert first.exit_code == 0
    folder = tmp_path / "ws" / "studies" / "pilot"
    before = {name: (folder / name).stat().st_mtime_ns for name in contents(folder)}
    again = cli(*PILOT, "--json")
    assert json.loads(again.stdout)["written"] is False
    assert before == {name: (folder / name).stat().st_mtime_ns for name in contents(folder)}
    other = cli(*PILOT, "--seed", "1")
    assert other.exit_code == 2
    assert "seed: 0 -> 1" in other.stderr
    add_images(imaged, "beta", 3)
    other = cli(*PILOT)
    assert other.exit_code == 2
    assert "images: " in other.stderr
    assert before == {name: (folder / name).stat().st_mtime_ns for name in contents(folder)}
    elsewhere = cli(*PILOT, "--output", tmp_path / "camvid")
    assert elsewhere.exit_code == 2
    assert f"{tmp_path / 'camvid'}: " in elsewhere.stderr
    assert "study.json" in elsewhere.stderr


def test_a_missing_image_is_refused_with_the_list_unless_intersected(
    cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    (imaged.image_folder("beta", 0) / "val_01.png").unlink()
    refused = cli(*PILOT)
    assert refused.exit_code == 1
    assert "beta: val_01" in refused.stderr
    assert not (tmp_path / "ws" / "studies" / "pilot").exists()
    accepted = cli(*PILOT, "--intersect")
    assert accepted.exit_code == 0
    assert "--intersect" in accepted.stderr
    study = study_of(tmp_path / "ws" / "studies" / "pilot")
    assert study["intersect"] is True
    assert (study["left_out"], study["scenes"]) == (["val_01"], ["val_00", "val_02"])


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("--methods", "alpha"), "--reference oracle", 2),
        (("--methods", "alpha,alpha"), "alpha: ", 2),
        (("--methods", "alpha,"), "--methods 'alpha,'", 2),
        (("--methods", "alpha,alphb"), "'alphb'", 2),
        (("--methods", "alpha,ours"), "'hdbench synthesize --method ours'", 1),
        (("--methods", "alpha,beta", "--study", "regions"), "'tiny' has no instance maps", 2),
        (("--methods", "alpha,beta", "--study", "pilto"), "'pilot'", 2),
        (("--methods", "alpha,beta", "--study", "unlimited"), "13 training scenes", 1),
    ],
)
def test_what_cannot_be_compared_is_refused(
    cli: Cli, imaged: Bench, words: tuple[str, ...], message: str, status: int
) -> None:
    assert imaged.dataset.test_scenes
    result = cli("study", "build", "--study", "pilot", *words)
    assert (result.exit_code, message in result.stderr) == (status, True), result.stderr


def test_images_of_another_size_are_refused_with_the_list(imaged: Bench, tmp_path: Path) -> None:
    add_images(imaged, "beta", 2, size=(32, 24))
    with pytest.raises(DataError) as error:
        built(imaged, tmp_path / "p")
    assert "64x48" in str(error.value)
    assert "beta: val_02: 32x24" in str(error.value)


def test_a_damaged_image_is_refused_and_nothing_is_left(imaged: Bench, tmp_path: Path) -> None:
    path = imaged.image_folder("beta", 0) / "val_01.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"val_01\.png"):
        built(imaged, tmp_path / "p" / "packet")
    assert list((tmp_path / "p").iterdir()) == []


def many_scenes(bench: Bench, count: int) -> Bench:
    """The small benchmark with more test scenes and fresh images of noise."""
    for n in range(3, count):
        for folder in ("val", "valannot"):
            root = bench.dataset.root("val") / folder
            shutil.copy(root / "val_00.png", root / f"val_{n:02}.png")
    bench = open_bench(bench.workspace)
    add_images(bench, "alpha", 1)
    add_images(bench, "beta", 2)
    return bench


@pytest.mark.slow
def test_identical_images_warn_and_more_than_one_per_cent_are_an_error(
    imaged: Bench, tmp_path: Path
) -> None:
    bench = many_scenes(imaged, 100)
    alpha, beta = bench.image_folder("alpha", 0), bench.image_folder("beta", 0)
    with Image.open(alpha / "val_07.png") as image:  # other bytes, same pixels
        image.save(beta / "val_07.png", compress_level=1)
    warned = built(bench, tmp_path / "warned")
    assert warned.study.identical == {"alpha and beta": 1}
    (warning,) = warned.warnings
    assert warning.startswith("alpha and beta: 1 scene ")
    shutil.copy(alpha / "val_08.png", beta / "val_08.png")
    with pytest.raises(DataError) as error:
        built(bench, tmp_path / "refused")
    assert "alpha and beta: 2 scenes of 100" in str(error.value)
    assert "val_08" in str(error.value)
    assert not (tmp_path / "refused").exists()


def test_a_question_that_names_a_method_is_refused(imaged: Bench, tmp_path: Path) -> None:
    protocol = protocol_with(question={"text": "Is Alpha better?"})
    with pytest.raises(HdbenchError, match="method 'alpha'"):
        built(imaged, tmp_path / "p", protocol=protocol)
    assert not (tmp_path / "p").exists()


def test_a_part_of_the_scenes_is_spread_and_recorded(
    cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    assert imaged.dataset.test_scenes
    assert cli(*PILOT, "--scenes", "2").exit_code == 0
    study = study_of(tmp_path / "ws" / "studies" / "pilot")
    assert (study["subset"], study["scenes"]) == (True, ["val_00", "val_01"])


def test_nothing_looks_finished_until_everything_is_there(
    imaged: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step fails, the packet's place stays empty, and the next build succeeds."""
    folder = tmp_path / "p" / "packet"
    for step in ("write_images", "manifest_bytes", "require_sound", "preview_page"):
        with monkeypatch.context() as patched:

            def fail(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patched.setattr(packets, step, fail)
            with pytest.raises(StorageError, match="No space left"):
                built(imaged, folder)
        assert list((tmp_path / "p").iterdir()) == []
    assert built(imaged, folder).written


@pytest.fixture
def outlined(city: Workspace) -> tuple[Bench, StudyProtocol]:
    """Scenes with instance maps, whose training scenes have names of their own."""
    assert city.data_root is not None
    for path in sorted(city.data_root.rglob("train/*/*")):
        path.rename(path.with_name(path.name.replace("0000", "9999", 1)))
    bench = open_bench(city)
    add_images(bench, "alpha", 1)
    add_images(bench, "beta", 2)
    region = {"minimum_area": 0.15}
    counts = {"checks": {"count": 1}, "practice": {"count": 1}}
    return bench, protocol_with("regions", region=region, **counts)


def test_regions_are_boxes_of_the_largest_object(
    outlined: tuple[Bench, StudyProtocol], tmp_path: Path
) -> None:
    bench, protocol = outlined
    # Two cars of 6x6 pixels in 24x16: 0.094 of the image each; the first grows to 0.188.
    path = bench.dataset.test_scenes[0].instance
    assert path is not None
    ids = np.asarray(Image.open(path)).astype(np.uint16)
    ids[4:10, 8:14] = 26000
    save_pixels(path, ids)
    boxes, skipped = largest_objects(bench, bench.dataset.test_scenes, protocol.region)
    assert boxes == {bench.dataset.test_scenes[0].name: (2, 4, 14, 10)}
    small = [(entry.scene, entry.instance) for entry in skipped]
    others = [entry.name for entry in bench.dataset.test_scenes[1:]]
    assert small == [(name, number) for name in others for number in (26000, 26001, None)]
    assert skipped[0].area == pytest.approx(36 / 384)

    for entry in bench.dataset.train_scenes:  # checks have an outline too
        assert entry.instance is not None
        save_pixels(entry.instance, ids)
    made = built(bench, tmp_path / "p", protocol=protocol)
    assert made.study.scenes == [bench.dataset.test_scenes[0].name]
    assert {tuple(row["region"]) for row in rows_of(made.folder)} == {(2, 4, 14, 10)}
    (warning,) = made.warnings
    assert "4 objects and 2 scenes" in warning
    assert "study.json" in warning


def test_groups_of_objects_have_no_region(outlined: tuple[Bench, StudyProtocol]) -> None:
    bench, protocol = outlined
    people = protocol.region.model_copy(update={"label": "person", "minimum_area": 0.0})
    boxes, skipped = largest_objects(bench, bench.dataset.test_scenes, people)
    assert boxes == {}
    assert len(skipped) == len(bench.dataset.test_scenes)


def test_cells_of_the_manifest_are_no_formulas(imaged: Bench, tmp_path: Path) -> None:
    folder = imaged.run_folder("beta", 0)
    folder.parent.rename(folder.parent.with_name("=1+1"))
    made = built(imaged, tmp_path / "p", "alpha,=1+1")
    with (made.folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"alpha", "'=1+1", ""}
    assert len(rows) == len(made.study.images)


def test_material_is_only_paths(imaged: Bench) -> None:
    """Nothing is decoded before everything is there: gathering is quick to refuse."""
    protocol = imaged.library.study("pilot")
    material = gather(imaged, protocol, ["alpha", "beta"], "oracle", 0, False, None)
    assert isinstance(material, Material)
    assert material.photographic == {"oracle"}
    with pytest.raises(UsageError, match="oracle"):
        gather(imaged, protocol, ["oracle"], None, 0, False, None)
