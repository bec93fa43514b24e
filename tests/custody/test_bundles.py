"""What a lab could send in place of what it measured: each is refused by member and field.

A forger here knows the format: after every change all digests are renewed, down to the manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_hostile_files import enormous_png

from hdbench.cli.main import cli as command
from hdbench.errors import DataError, UsageError
from hdbench.evaluation import stored
from hdbench.evaluation.comparing import require_one_fingerprint
from hdbench.evaluation.scores import recomputed
from hdbench.exchange.belonging import benchmark_of
from hdbench.exchange.beside import methods_of
from hdbench.exchange.packing import resolved_bytes
from hdbench.exchange.reading import LIMITS, examine, open_bundle
from hdbench.exchange.sample import sampled_scenes
from hdbench.library import Library
from hdbench.provenance import digest
from hdbench.runtime.archives import Archive, archive_bytes
from hdbench.schema.base import identity_of
from hdbench.schema.bundle import MANIFEST
from hdbench.workflows.check_bundle import Here, Verified, verify
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace

Files = dict[str, bytes]
OURS = "methods/00-ours-no-vgg/seed0"
NOISE = "methods/01-noise/seed0"
CPU = torch.device("cpu")


@pytest.fixture
def lab(packed_once: Workspace) -> Path:
    return packed_once.root.parent / "lab.zip"


@pytest.fixture
def files(lab: Path) -> Files:
    with lab.open("rb") as file:
        archive = Archive(file, "lab", LIMITS)
        return {name: archive.read(name) for name in archive.names}


def sent(files: Files, folder: Path) -> Path:
    path = folder / "sent.zip"
    path.write_bytes(archive_bytes(files))
    return path


def renewed(files: Files, change: Callable[[dict[str, Any]], object] | None = None) -> Files:
    """The members with a manifest that fits them, sample included, and is changed at the end."""
    manifest = json.loads(files[MANIFEST])
    records = [files[run["result"]["record"]] for run in manifest["runs"]]
    digests = [hashlib.sha256(record).hexdigest() for record in records]
    scenes = json.loads(records[0])["scenes"]
    manifest["sample"] = sampled_scenes(scenes, len(manifest["sample"]), digests)
    manifest["members"] = [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
        if name != MANIFEST
    ]
    if change is not None:
        change(manifest)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    return {**files, MANIFEST: text.encode()}


def edited(files: Files, member: str, change: Callable[[Any], object]) -> Files:
    content = json.loads(files[member])
    change(content)
    return {**files, member: json.dumps(content, indent=1).encode()}


def recounted(files: Files, place: str, change: Callable[[np.ndarray], object]) -> Files:
    """A result with other matrices and the scores that follow from them."""
    names = f"{place}/result.json", f"{place}/result.npz"
    result = stored.read(files[names[0]], files[names[1]], "result", "")
    matrices = result.matrices.copy()
    change(matrices)
    result = result.model_copy(update={"matrices": matrices})
    result = result.model_copy(update={"scores": recomputed(result)})
    return {**files, **dict(zip(names, stored.written(result), strict=True))}


def refused(files: Files, folder: Path, *said: str) -> str:
    with pytest.raises(DataError) as error:
        open_bundle(sent(files, folder))
    message = str(error.value)
    for part in ("sent.zip: ", *said):
        assert part in message, message
    return message


def here(workspace: Workspace) -> Here:
    return Here(Path("/"), workspace.benchmark, workspace.data_root, workspace.root)


def scored_again(path: Path, workspace: Workspace) -> Verified:
    return verify(path, here(workspace), CPU)


# -- an honest bundle ------------------------------------------------------------------------------


def test_an_honest_bundle_holds_and_its_images_score_the_same(
    lab: Path, packed_once: Workspace
) -> None:
    found = scored_again(lab, packed_once)
    assert found.wrong == []
    assert found.bundle is not None
    names = [entry.name for entry in found.bundle.results]
    assert names[:3] == ["ours-no-vgg (lab)", "noise (lab)", "oracle (lab)"]
    # The dataset's photographs are here, and are the oracle's; floors that copy them are not made.
    shown = dict.fromkeys((*names[:3], "floor-mean-colour (lab)"), 3)
    assert found.rescored == shown
    unchecked = "\n".join(line for check in found.checks for line in check.unchecked)
    assert "floor-nearest" in unchecked
    assert "second segmenter" in unchecked
    for entry in found.bundle.results:
        travels = entry.method in ("ours-no-vgg", "noise", "floor-mean-colour")
        assert len(entry.images) == (3 if travels else 0)
        assert (entry.withheld is None) == travels


def test_it_holds_elsewhere_too_and_says_what_could_not_be_checked(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["bundle", "verify", str(lab), "--json"])
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["holds"] is True
    assert record["rescored"] == {}
    assert "'tiny'" in record["checks"][-1]["unchecked"][0]
    assert [check["checked"] for check in record["checks"]] == [True] * 8 + [False]
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_says_what_methods_were_trained_on(lab: Path) -> None:
    ours, noise, oracle, *_ = open_bundle(lab).results
    assert ours.trained_on.said_by == "card"
    assert ours.trained_on.dataset == "camvid/train"
    assert (ours.trained_on.scenes, ours.trained_on.perceptual) == (8, None)
    assert ours.trained_on.steps == 16
    assert ours.trained_on.images_seen == 16
    assert ours.trained_on.extra == "none"
    assert (noise.trained_on.said_by, noise.trained_on.words) == ("lab", "<b>nothing</b>")
    assert [entry.role for entry in (ours, noise, oracle)] == ["method", "method", "oracle"]
    named, second = ours.named()
    assert (named.method, second) == ("ours-no-vgg (lab)", None)
    require_one_fingerprint([ours.result, named])


# -- members ---------------------------------------------------------------------------------------


def test_one_changed_byte_of_any_member_is_refused(files: Files, tmp_path: Path) -> None:
    for name, content in files.items():
        middle = len(content) // 2
        other = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        refused({**files, name: other}, tmp_path, name)


def test_members_that_come_or_go_are_named(files: Files, tmp_path: Path) -> None:
    refused({**files, "more.json": b"{}"}, tmp_path, "more.json")
    refused(renewed({**files, "more.json": b"{}"}), tmp_path, "more.json", MANIFEST)
    fewer = {name: content for name, content in files.items() if name != "scoring.json"}
    refused(fewer, tmp_path, "scoring.json")
    refused(renewed(fewer), tmp_path, "scoring.json")
    del fewer[MANIFEST]
    refused(fewer, tmp_path, MANIFEST)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, MANIFEST),
        (b"null", "schema"),
        (b'{"schema": 2}', "schema"),
        (b'{"schema": 1}', "hdbench"),
        (b"\xff\xfe", MANIFEST),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    content: bytes, said: str, files: Files, tmp_path: Path
) -> None:
    refused({**files, MANIFEST: content}, tmp_path, MANIFEST, said)


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["pixel_accuracy", "mean_iou"])
def test_a_score_that_does_not_follow_from_its_matrices(
    key: str, files: Files, tmp_path: Path
) -> None:
    better = edited(
        files, f"{OURS}/result.json", lambda record: record["scores"].update({key: 1.0})
    )
    refused(renewed(better), tmp_path, f"{OURS}/result.json", f"{key} 1.0")


def test_matrices_of_other_labels_are_not_those_of_the_bundle(files: Files, tmp_path: Path) -> None:
    def bloat(matrices: np.ndarray) -> None:
        matrices[0, 0, 0] += 1000

    forged = renewed(recounted(files, OURS, bloat))
    # The first result of a bundle is what the others are held to.
    refused(forged, tmp_path, f"{OURS}/result.json", "matrices", "methods/02-oracle")


@pytest.mark.slow
def test_predictions_that_the_images_do_not_have_are_found_by_scoring_again(
    files: Files, packed_once: Workspace, tmp_path: Path
) -> None:
    def flatter(matrices: np.ndarray) -> None:
        """One pixel of every image is right that was not."""
        for matrix in matrices:
            truth, guess = next(
                (t, g) for t, g in np.argwhere(matrix[:-1]).tolist() if t != g and matrix[t, g]
            )
            matrix[truth, guess] -= 1
            matrix[truth, truth] += 1

    path = sent(renewed(recounted(files, OURS, flatter)), tmp_path)
    assert open_bundle(path).results[0].method == "ours-no-vgg"  # it holds together
    found = scored_again(path, packed_once)
    assert found.bundle is None
    assert len(found.wrong) == 3
    assert all("ours-no-vgg, seed 0" in line and "1 of " in line for line in found.wrong)
    tolerant = verify(path, here(packed_once), CPU, tolerance=0.001)
    assert tolerant.wrong == []


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("choices.segmenter.weights", lambda c: c["segmenter"].update(weights="0" * 64)),
        ("choices.image_size", lambda c: c.update(image_size=[128, 96])),
        (
            "choices.scoring.counting",
            lambda c: c["scoring"]["counting"].update(void_class="counted"),
        ),
        ("choices.dataset", lambda c: c.update(dataset="streets")),
        ("choices.scenes", lambda c: c.update(scenes=100)),
        ("choices.labels", lambda c: c.update(labels="0" * 64)),
    ],
)
def test_choices_that_are_not_those_of_the_other_files(
    field: str, change: Callable[[Any], object], files: Files, tmp_path: Path
) -> None:
    member = f"{OURS}/result.json"
    result = stored.read(files[member], files[f"{OURS}/result.npz"], "result", "")
    choices = json.loads(json.dumps(result.choices))
    change(choices)
    result = result.model_copy(update={"choices": choices})
    result = result.model_copy(update={"scores": recomputed(result)})
    record, matrices = stored.written(result)
    forged = {**files, member: record, f"{OURS}/result.npz": matrices}
    refused(renewed(forged), tmp_path, member, field)


def test_the_result_of_another_method_is_refused(files: Files, tmp_path: Path) -> None:
    def moved(manifest: dict[str, Any]) -> None:
        ours, noise, *_ = manifest["runs"]
        ours["result"], noise["result"] = noise["result"], ours["result"]

    refused(renewed(files, moved), tmp_path, f"{NOISE}/result.json", "method")


def test_a_run_that_stands_twice_is_refused(files: Files, tmp_path: Path) -> None:
    forged = renewed(files, lambda manifest: manifest["runs"].append(manifest["runs"][0]))
    message = refused(forged, tmp_path, MANIFEST)
    assert "'ours-no-vgg', seed 0" in message


# -- cards and images ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "key", "change"),
    [
        (f"{OURS}/generator.json", "identity", lambda c: c["identity"].update(scenes=1)),
        (f"{OURS}/generator.json", "steps", lambda c: c.update(steps=1)),
        (f"{OURS}/generator.json", "seed", lambda c: c.update(seed=3)),
        (f"{OURS}/generator.json", "weights", lambda c: c.update(weights="0" * 64)),
        (f"{NOISE}/import.json", "images", lambda c: c["images"][0].update(pixels="0" * 64)),
        (f"{NOISE}/import.json", "facts", lambda c: c["images"][0].update(lossy=True)),
        ("segmenters/first.json", "choices.segmenter", lambda c: c.update(mean=[0.0, 0.0, 0.0])),
        ("segmenters/first.json", "architecture", lambda c: c.update(architecture="oracle")),
        ("benchmark.json", "choices.image_size", lambda c: c["size"].update(width=128)),
        ("benchmark.json", "identity.budget", lambda c: c["budget"].update(epochs=9)),
        ("benchmark.json", "name", lambda c: c.update(name="camvid")),
        ("scoring.json", "flip", lambda c: c["segmenter"].update(flip=True)),
        (f"{OURS[:-6]}/method.json", "identity.method", lambda c: c["loss"].update(gan="log")),
        (f"{OURS[:-6]}/method.json", "kind", lambda c: c.update(kind="oracle")),
        (f"{NOISE[:-6]}/method.json", "extra", lambda c: c.update(extra=1)),
    ],
)  # fmt: skip
def test_cards_and_files_of_something_else_are_refused(
    member: str, key: str, change: Callable[[Any], object], files: Files, tmp_path: Path
) -> None:
    message = refused(renewed(edited(files, member, change)), tmp_path, key)
    assert member in message or f"{OURS}/" in message


def test_images_of_other_scenes_or_methods_are_refused(files: Files, tmp_path: Path) -> None:
    first, second, _ = (name for name in files if name.startswith(f"{OURS}/images/"))
    swapped = {**files, first: files[second], second: files[first]}
    refused(renewed(swapped), tmp_path, first, second)


def test_photographs_of_a_dataset_are_refused(
    files: Files, packed_once: Workspace, tmp_path: Path
) -> None:
    """Whoever packs them by hand: they are not to be passed on."""
    photographs = open_bench(packed_once).dataset.photographs
    more = {f"oracle/{n}.png": path.read_bytes() for n, path in enumerate(photographs)}

    def added(manifest: dict[str, Any]) -> None:
        run = next(run for run in manifest["runs"] if run["method"] == "oracle")
        run["withheld"] = None
        run["images"] = [
            {"scene": scene, "member": member}
            for scene, member in zip(manifest["sample"], more, strict=True)
        ]

    refused(renewed({**files, **more}, added), tmp_path, MANIFEST, "withheld of 'oracle'")


def test_words_do_not_stand_in_for_a_card(files: Files, tmp_path: Path) -> None:
    def said(manifest: dict[str, Any]) -> None:
        manifest["runs"][0]["trained_on"] = "next to nothing"

    refused(renewed(files, said), tmp_path, MANIFEST, "trained_on of 'ours-no-vgg'")


def test_a_bundle_does_not_choose_its_scenes(files: Files, tmp_path: Path) -> None:
    scenes = json.loads(files[MANIFEST])["sample"]
    pairs = [[a, b] for a, b in combinations(scenes, 2)]
    named = []
    for pair in pairs:
        forged = renewed(files, lambda manifest, pair=pair: manifest.update(sample=pair))
        named.append("sample" in refused(forged, tmp_path, MANIFEST).replace("sampled", ""))
    assert sorted(named) == [False, True, True]  # the third lacks images of its scenes


def test_a_picture_of_400_million_pixels_is_not_decoded(files: Files, tmp_path: Path) -> None:
    bomb = enormous_png(tmp_path / "bomb.png").read_bytes()
    member = next(name for name in files if name.startswith(f"{OURS}/images/"))
    number, record = int(Path(member).stem), f"{OURS}/result.json"
    digest = hashlib.sha256(bomb).hexdigest()
    forged = edited(files, record, lambda result: result["images"].__setitem__(number, digest))
    forged[member] = bomb
    refused(renewed(forged), tmp_path, f"{member}: 20000x20000")


# -- words ----------------------------------------------------------------------------------------


def test_words_of_others_are_inert_on_a_terminal(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "\x1b[2J\x07\u202ereversed\r\nfake: yes"
    member = "methods/01-noise/method.json"
    named = edited(files, member, lambda method: method.update(title=evil, name=evil))
    forged = renewed(named, lambda manifest: manifest.update(contact=evil))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["bundle", "verify", str(sent(forged, tmp_path))])
    assert result.exit_code == 1
    assert member in result.stderr
    assert all(c.isprintable() or c == "\n" for c in result.output)
    assert not any(line.startswith("fake") for line in result.output.splitlines())


def test_a_benchmark_with_the_name_of_a_file_is_not_opened(
    lab: Path, packed_once: Workspace, tmp_path: Path
) -> None:
    from hdbench.workflows.check_bundle import _bench_here

    bundle = open_bundle(lab).model_copy(update={"benchmark": packed_once.benchmark})
    with pytest.raises(UsageError) as error:
        _bench_here(bundle, Here(tmp_path), tmp_path)
    assert "--benchmark" in str(error.value)


def test_methods_of_two_bundles_keep_their_labs(lab: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    other.write_bytes(lab.read_bytes())
    names = [entry.name for runs in methods_of([lab, other]) for entry in runs]
    assert names == ["ours-no-vgg (lab)", "noise (lab)", "ours-no-vgg (other)", "noise (other)"]
    with pytest.raises(UsageError, match="'lab'"):
        methods_of([lab, lab])


def test_a_label_space_of_ones_own_travels_without_its_folder(tmp_path: Path) -> None:
    space = json.loads(Library().label_space("camvid").model_dump_json())
    classes = "".join(
        f'[[classes]]\nid = {one["id"]}\nname = "{one["name"]}"\ncolour = {one["colour"]}\n'
        for one in space["classes"]
    )
    (tmp_path / "classes.toml").write_text(
        f'name = "mine"\ntitle = "Mine"\nsource = "here"\n{classes}'
    )
    scoring = 'extends = "camvid-std-v1"\nname = "s"\nlabel_space = "./classes.toml"\n'
    (tmp_path / "s.toml").write_text(scoring)
    (tmp_path / "own.toml").write_text(
        'extends = "camvid"\nname = "own"\nscoring = "./s.toml"\n'
        '[data]\nlabel_space = "./classes.toml"\n'
    )
    benchmark = Library().benchmark(str(tmp_path / "own.toml"))
    content = resolved_bytes(benchmark)
    assert str(tmp_path) not in json.dumps(json.loads(content)["data"])
    again = benchmark_of(content, "benchmark.json")
    assert identity_of(again.data) == identity_of(benchmark.data)


WEIRD = [None, [], {}, "x", -1, 1.5, True, [[]], {"a": {}}, 10**30, "\x1b[31m", ["a", "a"], ""]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value[:4])
        for key, one in inner:
            yield from places(one, (*path, key))


@pytest.mark.slow
def test_whatever_stands_in_a_file_the_message_is_one_of_ours(files: Files, tmp_path: Path) -> None:
    """Values of every kind in every place of every file, as a forger would pack them."""
    random = Random(1)
    records = [name for name in files if name.endswith(".json") and name != MANIFEST]
    for _ in range(120):
        member = random.choice(records)
        content = json.loads(files[member])
        *above, last = random.choice(list(places(content)))
        table = content
        for key in above:
            table = table[key]
        table[last] = random.choice(WEIRD)
        if "choices" in content:
            content["fingerprint"] = digest(content["choices"])
        forged = {**files, member: json.dumps(content).encode()}
        _, checks = examine(sent(renewed(forged), tmp_path))
        assert all(line.isprintable() for check in checks for line in check.wrong)


def test_whatever_byte_is_changed_the_message_is_one_of_ours(lab: Path, tmp_path: Path) -> None:
    random, content = Random(2), lab.read_bytes()
    for _ in range(100):
        other = bytearray(content)
        for _ in range(random.choice((1, 3, 10))):
            # Half of them in the directory at the end.
            place = random.choice((random.randrange(len(other)), -random.randrange(1, 5000)))
            other[place] = random.randrange(256)
        (tmp_path / "sent.zip").write_bytes(other)
        _, checks = examine(tmp_path / "sent.zip")
        assert all(line.isprintable() for check in checks for line in check.wrong)


def test_files_that_are_not_bundles_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_bundle(tmp_path / "nothing.zip")
    path = tmp_path / "a \x1b[31m<b>.zip"
    path.write_bytes(b"PK")
    bundle, checks = examine(path)
    assert bundle is None
    [line] = [line for check in checks for line in check.wrong]
    assert line.isprintable()
