"""Any method's images: every hard case is refused with its name, or does what is stated."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, evaluated, reopened
from PIL import Image

from hdbench.data.loading import photograph_digest
from hdbench.errors import CheckpointError, DataError, UsageError
from hdbench.provenance import file_digest
from hdbench.schema.method import Images
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.import_images import import_images
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import MANIFEST_FILE, imported_paths, load_import
from hdbench.workspace.results import current_results, load_result, result_path

Cli = Callable[..., Result]
CPU = torch.device("cpu")
NAMES = ("val_00", "val_01", "val_02")


@pytest.fixture
def theirs(bench: Bench, tmp_path: Path) -> Path:
    """A folder with one sound PNG for each scene: the photographs at the benchmark's size."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path in bench.dataset.photographs:
        Image.open(path).convert("RGB").resize((64, 48)).save(folder / path.name)
    return folder


def method(bench: Bench, name: str = "spade") -> Images:
    loaded = reopened(bench).library.method(name)
    assert isinstance(loaded, Images)
    return loaded


def segmenter_of(bench: Bench) -> Segmenter:
    return constant_segmenter(3, bench.space, 64, 48)


def refused(bench: Bench, folder: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        import_images(bench, "spade", folder, **options)
    assert not bench.run_folder("spade", 0).exists()
    assert not list(bench.run_folder("spade", 0).parent.glob(".seed0.importing*"))
    assert not bench.workspace.methods().exists()
    return str(error.value)


def spoil(folder: Path, name: str, change: Callable[[Image.Image], Image.Image]) -> None:
    with Image.open(folder / f"{name}.png") as image:
        change(image).save(folder / f"{name}.png")


def test_sound_images_arrive_byte_for_byte_with_their_origin(bench: Bench, theirs: Path) -> None:
    record = import_images(bench, "spade", theirs, title='SPADE "official"')
    assert [image.scene for image in record.images] == list(NAMES)
    assert record.warnings == []
    for image, path in zip(record.images, imported_paths(bench, method(bench)), strict=True):
        assert path.read_bytes() == (theirs / image.source).read_bytes()
        assert image.file == file_digest(theirs / image.source)
        assert image.pixels == photograph_digest(path)
    assert method(bench).title == 'SPADE "official"'
    assert load_import(bench, method(bench)) == record


def test_an_imported_method_is_scored_beside_oracle_and_floors(bench: Bench, theirs: Path) -> None:
    import_images(bench, "spade", theirs)
    bench = reopened(bench)
    results = evaluated(bench, ["spade"], 0, segmenter_of(bench), CPU)
    assert [result.method for result in results][:2] == ["spade", "oracle"]
    assert len({result.fingerprint for result in results}) == 1
    spade = load_result(result_path(bench, "spade", 0, foreign="constant"))
    assert spade.provenance.imported is not None
    assert spade.provenance.imported.formats == {"PNG": 3}
    assert current_results(bench, ["spade", "oracle"], 0, segmenter_of(bench).card).keys() == {
        "spade",
        "oracle",
    }


@pytest.mark.parametrize(
    ("rename", "template"),
    [
        ("{}_synthesized_image.png", None),
        ("epoch_latest/synthesized_image/{}.png", None),
        ("deep/er/{}.png", None),
        ("{}_fake.png", "{name}_fake.png"),
        ("{}/fake_B.png", "{name}/fake_B.png"),
        ("out-{}.png", "out-{name}.png"),
    ],
)
def test_names_are_matched(
    bench: Bench, theirs: Path, tmp_path: Path, rename: str, template: str | None
) -> None:
    moved = tmp_path / "moved"
    for path in theirs.iterdir():
        target = moved / rename.format(path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    record = import_images(bench, "spade", moved, template=template)
    assert [image.source for image in record.images] == [rename.format(name) for name in NAMES]


def test_the_official_test_scripts_folder_is_understood(bench: Bench, theirs: Path) -> None:
    """pix2pixHD writes ``*_input_label.jpg`` and ``*_synthesized_image.jpg`` side by side."""
    for name in NAMES:
        with Image.open(theirs / f"{name}.png") as image:
            image.save(theirs / f"{name}_synthesized_image.jpg")
            Image.new("RGB", (64, 48)).save(theirs / f"{name}_input_label.jpg")
        (theirs / f"{name}.png").unlink()
    (theirs / "index.html").write_text("<html>")
    record = import_images(bench, "spade", theirs)
    assert [image.source for image in record.images] == [
        f"{name}_synthesized_image.jpg" for name in NAMES
    ]
    assert record.facts.formats == {"JPEG": 3}
    assert re.search("3 of 3 images .*JPEG", record.warnings[0])
    path = imported_paths(bench, method(bench))[0]
    with Image.open(theirs / record.images[0].source) as original, Image.open(path) as kept:
        assert kept.format == "PNG"
        assert np.array_equal(np.array(original), np.array(kept))


@pytest.mark.slow
def test_a_jpeg_is_known_by_its_content_and_flagged_in_table_and_result(
    cli: Cli, bench: Bench, theirs: Path, trained: Bench
) -> None:
    for name in NAMES[:2]:
        with Image.open(theirs / f"{name}.png") as image:
            image.save(theirs / f"{name}.png", format="JPEG")
    assert cli("import-images", "spade", theirs).exit_code == 0
    printed = cli("evaluate", "--method", "spade")
    assert printed.exit_code == 0, printed.stderr
    note = "spade: 2 of 3 images"
    assert note in printed.stdout
    assert cli("report", "table1", "--method", "spade").stdout.count(note) == 1
    page = (trained.workspace.reports() / "table1.tiny.html").read_text()
    assert page.count(note) == 1
    assert re.search("<figcaption>[^<]*spade", page)


def test_fifty_images_for_five_hundred_labels(bench: Bench, theirs: Path) -> None:
    for name in NAMES[1:]:
        (theirs / f"{name}.png").unlink()
    text = refused(bench, theirs)
    assert re.search("2 of 3 scenes.*\n  val_01\n  val_02\n", text)
    assert "--how_many 3" in text
    assert "--allow-subset" in text


def test_all_missing_scenes_are_listed_however_many(bench: Bench, tmp_path: Path) -> None:
    data = bench.dataset.root("val")
    for n in range(30):
        for folder in ("val", "valannot"):
            shutil.copy(data / folder / "val_00.png", data / folder / f"more_{n:02}.png")
    (tmp_path / "empty").mkdir()
    text = refused(bench, tmp_path / "empty", allow_subset=True)
    assert all(f"\n  more_{n:02}" in text for n in range(30))
    assert "--template" in text


@pytest.mark.slow
def test_a_subset_is_scored_alone_under_its_own_fingerprint(bench: Bench, theirs: Path) -> None:
    whole = evaluated(bench, [], 0, segmenter_of(bench), CPU)
    (theirs / "val_01.png").unlink()
    record = import_images(bench, "spade", theirs, allow_subset=True)
    assert record.subset
    bench = reopened(bench)
    results = evaluated(bench, ["spade"], 0, segmenter_of(bench), CPU)
    assert all(result.scenes == ["val_00", "val_02"] for result in results)
    assert {result.fingerprint for result in results}.isdisjoint(
        {result.fingerprint for result in whole}
    )
    floor = {result.method: result for result in whole}["floor-nearest"]
    again = {result.method: result for result in results}["floor-nearest"]
    assert again.images == [floor.images[0], floor.images[2]]
    assert np.array_equal(again.matrices, floor.matrices[[0, 2]])
    assert current_results(bench, ["spade", "oracle"], 0, segmenter_of(bench).card).keys() == {
        "oracle"
    }
    left = bench.image_folder("floor-nearest", 0)
    assert len(list(left.glob("*.png"))) == 3  # the third is neither lost nor made anew


def test_two_different_subsets_stand_in_no_common_table(bench: Bench, theirs: Path) -> None:
    (theirs / "val_01.png").rename(theirs / "kept.bak")
    import_images(bench, "one", theirs, allow_subset=True)
    (theirs / "kept.bak").rename(theirs / "val_01.png")
    (theirs / "val_02.png").unlink()
    import_images(bench, "two", theirs, allow_subset=True)
    bench = reopened(bench)
    with pytest.raises(UsageError, match="'one' 2, 'two' 2"):
        evaluated(bench, ["one", "two"], 0, segmenter_of(bench), CPU)


@pytest.mark.slow
def test_a_subset_reaches_table_and_footnote(cli: Cli, theirs: Path, trained: Bench) -> None:
    (theirs / "val_01.png").unlink()
    assert cli("import-images", "spade", theirs, "--allow-subset").exit_code == 0
    printed = cli("evaluate", "--method", "spade")
    assert re.search("spade: .*2 of 3 scenes", printed.stdout)
    assert "2 images of Tiny" in printed.stdout
    assert "scenes: 2" in cli("evaluate", "--method", "spade", "--explain").stdout
    again = cli("evaluate", "--method", "spade", "--recheck", "3")
    assert "spade under camvid-std-v1: 2 of 2 images" in again.stdout
    assert "over 2 images" in cli("compare", "spade", "floor-nearest").stdout
    reported = cli("report", "table1", "--method", "spade")
    assert re.search("spade: .*2 of 3 scenes", reported.stdout)
    assert cli("evaluate").exit_code == 0
    assert "spade" not in cli("report", "table1").stdout


def as_float_tiff(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("F")


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda image: image.transpose(Image.Transpose.TRANSPOSE), "48x64; expected 64x48"),
        (lambda image: image.resize((128, 96)), "128x96; expected 64x48"),
        (lambda image: image.convert("RGBA"), "mode RGBA"),
        (lambda image: image.convert("LA"), "mode LA"),
        (lambda image: image.convert("L"), "mode L "),
        (lambda image: image.convert("P"), "mode P "),
        (lambda image: image.convert("1"), "mode 1 "),
        (lambda image: image.convert("L").convert("I;16"), "mode I;16 "),
    ],
    ids=["transposed", "larger", "alpha", "grey-alpha", "grey", "palette", "one-bit", "16-bit"],
)
def test_one_image_of_another_form_is_named(
    bench: Bench, theirs: Path, change: Callable[[Image.Image], Image.Image], fact: str
) -> None:
    spoil(theirs, "val_01", change)
    [line] = [line for line in refused(bench, theirs).splitlines() if line.startswith("  ")]
    assert line.startswith(f"  {theirs / 'val_01.png'}: ")
    assert fact in line


def sixteen_bit_png(path: Path) -> None:
    """Write a PNG of 16 bits per colour, which Pillow reads as if it had 8 and cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    rows = b"".join(b"\0" + bytes(64 * 6) for _ in range(48))
    head = struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_everything_that_is_wrong_is_listed_at_once(bench: Bench, theirs: Path) -> None:
    whole = (theirs / "val_00.png").read_bytes()
    (theirs / "val_00.png").write_bytes(whole[: len(whole) // 2])
    (theirs / "val_01.png").write_bytes(b"")
    sixteen_bit_png(theirs / "val_02.png")
    with Image.open(theirs / "val_02.png") as image:
        assert image.mode == "RGB"  # why the depth is read from the file
    lines = [line for line in refused(bench, theirs).splitlines() if line.startswith("  ")]
    facts = (f"{len(whole) // 2} bytes", "0 bytes", "16 bits")
    for line, name, fact in zip(lines, NAMES, facts, strict=True):
        assert f"{name}.png: " in line
        assert fact in line


def test_two_files_of_one_scene_are_never_chosen_between(bench: Bench, theirs: Path) -> None:
    (theirs / "old").mkdir()
    shutil.copy(theirs / "val_00.png", theirs / "old" / "val_00.jpg")
    assert "old/val_00.jpg, val_00.png" in refused(bench, theirs)


def test_files_of_no_scene_suggest_a_template(bench: Bench, theirs: Path) -> None:
    for path in list(theirs.iterdir()):
        path.rename(path.with_name(f"{path.stem}_fake.png"))
    text = refused(bench, theirs)
    assert "(3):\n  val_00_fake.png" in text
    assert "--template '{name}_fake.png'" in text
    with pytest.raises(UsageError, match=r"--template '\*_fake\.png'"):
        import_images(bench, "spade", theirs, template="*_fake.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda x: x * 2 - 1, r"-1 to 1; expected 0 to 1.*\(x \+ 1\) / 2"),
        (lambda x: x * 255, "0 to 255; expected 0 to 1.*8-bit"),
        (lambda x: x * np.nan, "finite; expected floats from 0 to 1"),
        (lambda x: x.transpose(2, 0, 1), r"\(3, 48, 64\); expected \(48, 64, 3\)"),
        (lambda x: (x * 255).astype(np.int32), "int32 "),
        (lambda x: x[:24], "64x24; expected 64x48"),
    ],
)
def test_arrays_in_another_range_or_shape_are_refused(
    bench: Bench, theirs: Path, values: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    (theirs / "val_00.png").unlink()
    ramp = np.linspace(0, 1, 48 * 64 * 3, dtype=np.float32).reshape(48, 64, 3)
    np.save(theirs / "val_00.npy", values(ramp))
    assert re.search(rf"val_00\.npy: .*{message}", refused(bench, theirs))


def test_a_float_tiff_is_refused(bench: Bench, theirs: Path) -> None:
    with Image.open(theirs / "val_00.png") as image:
        as_float_tiff(image).save(theirs / "val_00.tiff")
    (theirs / "val_00.png").unlink()
    assert "val_00.tiff: mode F " in refused(bench, theirs)


def test_arrays_are_rounded_once(bench: Bench, theirs: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for name, array in (("val_00", pixels), ("val_01", pixels / 255.0)):
        (theirs / f"{name}.png").unlink()
        np.save(theirs / f"{name}.npy", array)
    record = import_images(bench, "spade", theirs)
    assert record.facts.formats == {"NPY": 1, "NPY float": 1, "PNG": 1}
    for path in imported_paths(bench, method(bench))[:2]:
        assert np.array_equal(np.array(Image.open(path)), pixels)
    assert any("val_00, val_01" in warning for warning in record.warnings)


def test_a_pickle_in_an_array_is_not_run(bench: Bench, theirs: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    (theirs / "val_00.png").unlink()
    np.save(theirs / "val_00.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    assert re.search(r"val_00\.npy: .*object", refused(bench, theirs))
    assert not (tmp_path / "ran").exists()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "GIF"}, "format GIF"),
        ({"format": "WEBP", "lossless": True}, "format WEBP"),
        ({"format": "PNG", "transparency": (0, 0, 0)}, r"alpha.*\(mode RGB\)"),
        ({"format": "JPEG", "exif": turned()}, "EXIF.*orientation 6"),
        ({"format": "PNG", "save_all": True}, "2 frames"),
    ],
    ids=["gif", "webp", "transparency", "orientation", "frames"],
)
def test_other_forms_are_known_by_content_whatever_the_extension(
    bench: Bench, theirs: Path, options: dict, message: str
) -> None:
    with Image.open(theirs / "val_01.png") as image:
        image.load()
    if "save_all" in options:
        options = {**options, "append_images": [Image.new("RGB", (64, 48))]}
    image.save(theirs / "val_01.png", **options)
    assert re.search(rf"val_01\.png: .*{message}", refused(bench, theirs))


def test_swapped_names_are_noticed(bench: Bench, theirs: Path) -> None:
    (theirs / "val_00.png").rename(theirs / "x.png")
    (theirs / "val_02.png").rename(theirs / "val_00.png")
    (theirs / "x.png").rename(theirs / "val_02.png")
    warning = import_images(bench, "spade", theirs).warnings[0]
    assert "2 images" in warning
    assert "val_00 -> val_02" in warning


def test_the_same_images_again_change_nothing_and_others_need_a_restart(
    bench: Bench, theirs: Path
) -> None:
    first = import_images(bench, "spade", theirs)
    stamp = (bench.run_folder("spade", 0) / MANIFEST_FILE).stat().st_mtime_ns
    assert import_images(bench, "spade", theirs) == first
    assert (bench.run_folder("spade", 0) / MANIFEST_FILE).stat().st_mtime_ns == stamp
    evaluated(reopened(bench), ["spade"], 0, segmenter_of(bench), CPU)
    spoil(theirs, "val_01", lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    with pytest.raises(CheckpointError, match=r"'spade'(.|\n)*--restart"):
        import_images(bench, "spade", theirs)
    second = import_images(bench, "spade", theirs, restart=True)
    assert second.identity != first.identity
    runs = bench.run_folder("spade", 0).parent
    assert len(list(runs.glob("seed0.before-*"))) == 1
    assert len(list(result_path(bench, "spade", 0).parents[1].glob("spade.before-*"))) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record.pop("size"), "key 'size' is missing"),
        (lambda record: record["images"][1].update(lossy="no"), "image 2 lossy = 'no'"),
        (lambda record: record.update(schema=2), "schema = 2"),
        (lambda record: record.clear(), "key 'schema' is missing"),
    ],
)
def test_a_damaged_record_of_an_import_is_named(
    bench: Bench, theirs: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    import_images(bench, "spade", theirs)
    path = bench.run_folder("spade", 0) / MANIFEST_FILE
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError) as error:
        load_import(bench, method(bench))
    assert f"{path}: {named}" in str(error.value)
    assert "import-images spade PATH --restart" in str(error.value)
    with pytest.raises(CheckpointError, match="--restart"):
        import_images(bench, "spade", theirs)


def test_images_edited_after_the_import_are_not_scored(bench: Bench, theirs: Path) -> None:
    import_images(bench, "spade", theirs)
    bench = reopened(bench)
    path = imported_paths(bench, method(bench))[1]
    Image.new("RGB", (64, 48)).save(path)
    with pytest.raises(DataError, match=r"1 image of 'spade'(.|\n)*val_01\.png"):
        evaluated(bench, ["spade"], 0, segmenter_of(bench), CPU)
    path.unlink()
    with pytest.raises(DataError, match=r"1 of 3 scenes(.|\n)*  val_01\n"):
        evaluated(reopened(bench), ["spade"], 0, segmenter_of(bench), CPU)


def test_a_method_without_images_names_the_command(bench: Bench, theirs: Path) -> None:
    import_images(bench, "spade", theirs)
    shutil.rmtree(bench.run_folder("spade", 0))
    with pytest.raises(CheckpointError, match="'hdbench import-images spade PATH'"):
        evaluated(reopened(bench), ["spade"], 0, segmenter_of(bench), CPU)


@pytest.mark.parametrize("name", ["ours", "oracle", "a/b", "x.toml", "", "-x", "a b"])
def test_names_that_are_taken_or_no_names_are_refused(
    bench: Bench, theirs: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=f"^'{name}'"):
        import_images(bench, name, theirs)


def test_what_a_killed_import_left_is_cleared_away(bench: Bench, theirs: Path) -> None:
    left = bench.run_folder("spade", 0).with_name(".seed0.importing") / "images" / "val"
    left.mkdir(parents=True)
    (left / "stale.png").write_bytes(b"x")
    import_images(bench, "spade", theirs)
    assert not list(bench.run_folder("spade", 0).rglob("stale.png"))


def test_the_workspaces_methods_are_listed_and_shown(cli: Cli, theirs: Path, bench: Bench) -> None:
    told = cli("import-images", "spade", theirs, "--title", "SPADE", "--json")
    assert json.loads(told.stdout)["formats"] == {"PNG": 3}
    assert {"kind": "method", "name": "spade", "title": "SPADE"} in json.loads(
        cli("list", "--json").stdout
    )
    assert 'kind   = "images"' in cli("show", "spade").stdout
    assert cli("check").exit_code == 0
    assert cli("import-images", "spade", "nowhere").exit_code == 2
    assert cli("train", "spade").exit_code == 2
    assert "3 images in" in cli("synthesize", "--method", "spade").stdout


@pytest.mark.slow
@pytest.mark.real_data
def test_swaps_are_found_among_real_photographs_and_none_where_there_is_none(
    real_data: Path,
) -> None:
    from hdbench.data.agreement import (
        explained_variance,
        label_thumbnail,
        suspected_trades,
        thumbnail,
    )
    from hdbench.data.label_maps import read_label
    from hdbench.data.labels import shipped_space
    from hdbench.data.layouts import find_scenes
    from hdbench.data.loading import read_photograph

    scenes = find_scenes("camvid", real_data / "camvid", "val")
    space = shipped_space("camvid")
    images = [thumbnail(read_photograph(entry.image)) for entry in scenes]
    labels = [label_thumbnail(read_label(entry.label_map, space)) for entry in scenes]
    explained = explained_variance(images, labels)
    assert suspected_trades(explained) == []
    random = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        order = np.arange(len(scenes))
        pair = random.choice(len(scenes), 2, replace=False)
        order[pair] = order[pair[::-1]]
        found += any(set(pair) & set(cycle) for cycle in suspected_trades(explained[order]))
    assert found >= 75
