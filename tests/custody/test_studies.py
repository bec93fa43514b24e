"""Ways to get a false number from a study of people: each changes one file or field, in vain."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from hdbench.data.sheets import encode_png
from hdbench.errors import DataError
from hdbench.provenance import canonical_json, digest
from hdbench.study.analysis.prose import methods_paragraph
from hdbench.study.analysis.simulate import Participants, simulate
from hdbench.study.analysis.submissions import hashed_participant
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import Tally, answer_files, tally
from hdbench.study.packet.build import Flags, build
from hdbench.study.packet.files import open_packet, packet_files, sums_of, write_sums
from hdbench.study.packet.gathering import gather
from hdbench.study.packet.verify import verify
from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]


def problems(packet: Path) -> list[str]:
    return [line for finding in verify(packet) for line in finding.violations]


def sign(packet: Path) -> None:
    """Renew SHA256SUMS, as somebody who wants to hide a change would."""
    write_sums(packet, sums_of(packet, packet_files(packet)))


def study_of(packet: Path) -> dict[str, Any]:
    return json.loads((packet / "study.json").read_text())


def rewrite(packet: Path, **changes: Any) -> None:
    (packet / "study.json").write_text(json.dumps(study_of(packet) | changes))


def swap_methods(packet: Path, one: str, other: str) -> list[str]:
    """Give each method the image files of the other, in both folders; return their names."""
    images = study_of(packet)["images"]
    name = {(entry["method"], entry["scene"]): key for key, entry in images.items()}
    swapped = []
    for scene in study_of(packet)["scenes"]:
        pair = [f"{name[method, scene]}.png" for method in (one, other)]
        for place in ("images", "web/images"):
            first, second = (packet / place / file for file in pair)
            contents = first.read_bytes(), second.read_bytes()
            first.unlink()  # the file in web/ may be the same one
            second.unlink()
            first.write_bytes(contents[1])
            second.write_bytes(contents[0])
        swapped += pair
    return swapped


def manifest_rows(packet: Path) -> list[dict[str, str]]:
    with (packet / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_manifest(packet: Path, rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (packet / "manifest.csv").write_text(text.getvalue())


# ---- images ----


def test_methods_whose_images_are_exchanged_are_found_with_renewed_sums(packet: Path) -> None:
    swapped = swap_methods(packet, "alpha", "beta")
    sign(packet)
    found = problems(packet)
    assert len(found) == len(swapped)
    for file in swapped:
        assert any(line.startswith(f"images/{file}: ") and "manifest.csv" in line for line in found)


def test_a_manifest_that_follows_the_exchange_is_found(packet: Path) -> None:
    swap_methods(packet, "alpha", "beta")
    rows = manifest_rows(packet)
    for row in rows:
        row["sha256"] = hashlib.sha256((packet / "images" / row["image"]).read_bytes()).hexdigest()
    write_manifest(packet, rows)
    sign(packet)
    assert any("manifest.csv" in line and "manifest_sha256" in line for line in problems(packet))


def test_sources_that_are_exchanged_in_the_manifest_are_found(packet: Path) -> None:
    """Even where the digest of the manifest in study.json is renewed too."""
    rows = manifest_rows(packet)
    one, other = (
        next(row for row in rows if (row["method"], row["scene"]) == (method, "val_00"))
        for method in ("alpha", "beta")
    )
    one["source_sha256"], other["source_sha256"] = other["source_sha256"], one["source_sha256"]
    write_manifest(packet, rows)
    digest = hashlib.sha256((packet / "manifest.csv").read_bytes()).hexdigest()
    rewrite(packet, manifest_sha256=digest)
    sign(packet)
    (line,) = problems(packet)
    assert "source_sha256" in line


def test_a_row_of_the_manifest_that_names_another_method_is_found(packet: Path) -> None:
    rows = manifest_rows(packet)
    row = next(row for row in rows if row["method"] == "alpha")
    row["method"] = "beta"
    write_manifest(packet, rows)
    sign(packet)
    assert any(f"images/{row['image']}: method is 'beta'" in line for line in problems(packet))


def test_a_packet_without_its_manifest_is_found(packet: Path) -> None:
    (packet / "manifest.csv").unlink()
    sign(packet)
    [problem] = problems(packet)
    assert problem.startswith("manifest.csv: ")


# ---- people ----


def answers(packet: Path, count: int) -> list[dict[str, Any]]:
    """What ``count`` sessions would send, each with times of its own."""
    sent = []
    for entry in simulate(open_packet(packet), Participants(count, void=0), 0):
        content = entry.model_dump(mode="json", by_alias=True)
        del content["participant"], content["simulated"]
        for row in content["rows"]:
            del row["simulated"]
            row["response_ms"] += 1000  # no session is too quick
        sent.append(content)
    return sent


def save(folder: Path, entries: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for n, entry in enumerate(entries):
        (folder / f"judgments-{n:02}.json").write_text(json.dumps(entry))
    return folder


def saved(packet: Path, entries: list[dict[str, Any]]) -> Tally:
    opened = open_packet(packet)
    folder = save(packet.parent / "saved", entries)
    return tally(opened, answer_files(opened, [folder], simulated=False), simulated=False)


@pytest.mark.slow
def test_sixty_files_of_one_person_are_no_sixty_participants(
    cli: Cli, packet: Path, tmp_path: Path
) -> None:
    entries = answers(packet, 60)
    found = saved(packet, entries)
    analysis = analyse(found, {})
    assert analysis.counts.sessions == analysis.unnamed.sessions == 60
    assert analysis.counts.participants == analysis.counts.judging_participants == 0
    text = methods_paragraph(found, analysis)
    assert "60 sessions" in text
    assert "60 participants" not in text
    shown = cli("study", "tally", packet, tmp_path / "saved")
    assert shown.exit_code == 0, shown.stderr
    assert "60 participants" not in shown.stdout


def test_a_person_whom_a_venue_names_is_counted_once(packet: Path) -> None:
    own = [{**entry, "participant": "a" * 16} for entry in answers(packet, 6)]
    path = packet / "results" / "judgments.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in own))
    analysis = analyse(tally(open_packet(packet), [path], simulated=False), {})
    assert (analysis.counts.sessions, analysis.counts.participants) == (6, 1)
    assert analysis.unnamed.sessions == 0


def other_session(entry: dict[str, Any]) -> None:
    entry["session"] = "f" * 32


def other_choices(entry: dict[str, Any]) -> None:
    other_session(entry)
    for row in entry["rows"]:
        row["choice"] = {"left": "right", "right": "left"}[row["choice"]]


def other_dates(entry: dict[str, Any]) -> None:
    other_session(entry)
    for row in entry["rows"]:
        row["at"] = row["at"].replace("2000", "2031")


def some_times(entry: dict[str, Any]) -> None:
    other_session(entry)
    for row in entry["rows"][::3]:
        row["response_ms"] += 7.7


@pytest.mark.parametrize("change", [other_session, other_choices, other_dates, some_times])
def test_a_copied_file_under_a_new_session_is_refused(
    packet: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    entries = answers(packet, 2)
    copy = json.loads(json.dumps(entries[0]))
    change(copy)
    with pytest.raises(DataError) as error:
        saved(packet, [*entries, copy])
    assert "judgments-00.json" in str(error.value)
    assert "judgments-02.json" in str(error.value)
    assert "f" * 32 in str(error.value)


def test_times_copied_into_another_packet_are_refused(packet: Path) -> None:
    entries = answers(packet, 2)
    for row, other in zip(entries[1]["rows"], entries[0]["rows"], strict=True):
        row["response_ms"] = other["response_ms"]
    with pytest.raises(DataError, match=r"judgments-01\.json"):
        saved(packet, entries)


@pytest.mark.parametrize(
    ("key", "value"), [("study", "0" * 16), ("packet", "0" * 16), ("packet", None)]
)
def test_ids_that_are_not_those_of_the_packet_are_refused(
    packet: Path, key: str, value: str | None
) -> None:
    entries = answers(packet, 2)
    entries[0][key] = value or entries[1][key]  # None: a packet of this study that was not answered
    with pytest.raises(DataError) as error:
        saved(packet, entries)
    assert "judgments-00.json" in str(error.value)
    assert f"{key} = {entries[0][key]!r}" in str(error.value)


def test_a_submission_without_rows_is_reported(cli: Cli, packet: Path, tmp_path: Path) -> None:
    entries = answers(packet, 2)
    entries[1]["rows"] = []
    found = saved(packet, entries)
    assert [Path(place).name for place in found.blanks] == ["judgments-01.json"]
    analysis = analyse(found, {})
    assert analysis.counts.blank_submissions == 1
    assert "submission" in methods_paragraph(found, analysis)
    assert "judgments-01.json" in cli("study", "tally", packet, tmp_path / "saved").stderr


# ---- names ----


def named(key: str, *parts: str) -> str:
    return hmac.digest(bytes.fromhex(key), canonical_json(list(parts)).encode(), "sha256").hex()


def test_names_cannot_be_computed_from_what_others_have(packet: Path) -> None:
    """Whoever has images and protocol could once compute the key, and so all names."""
    study = study_of(packet)
    pixels = {name: study["inputs"][name] for name in ("images", "controls")}
    guesses = [
        digest(["hdbench study", study["seed"], study["protocol"], pixels]),
        study["key_sha256"],
        study["protocol_hash"],
        study["design_hash"],
        *pixels.values(),
    ]
    images = {name for name, entry in study["images"].items() if entry["method"] == "alpha"}
    key = (packet / "secret.key").read_text().strip()
    assert named(key, "method", "alpha", "val_00")[:16] in images
    for guess in guesses:
        assert named(guess, "method", "alpha", "val_00")[:16] not in images
        assert named(guess, "study")[:16] not in (packet / "mturk" / "layout.html").read_text()
    for path in packet_files(packet):
        assert (key.encode() in path.read_bytes()) == (path.name == "secret.key"), path


def test_two_packets_of_the_same_inputs_share_no_name(imaged: Bench, tmp_path: Path) -> None:
    protocol = imaged.library.study("pilot")
    material = gather(imaged, protocol, ["alpha", "beta"], None, 0, False, None)
    flags = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)
    one, other = (
        build(imaged, protocol, material, None, flags, tmp_path / name).study
        for name in ("one", "other")
    )
    assert one.design_hash == other.design_hash
    assert not one.images.keys() & other.images.keys()
    assert not set(one.packet_ids) & set(other.packet_ids)
    hashes = {hashed_participant(study, "mturk", "A1") for study in (one, other)}
    assert len(hashes) == 2


@pytest.mark.parametrize("content", ["0" * 64, "0" * 63, "", None])
def test_another_key_or_none_is_refused_by_name(
    cli: Cli, packet: Path, content: str | None
) -> None:
    path = packet / "secret.key"
    path.unlink()
    if content is not None:
        path.write_text(content)
    sign(packet)
    for verb in ("verify", "tally", "simulate"):
        shown = cli("study", verb, packet)
        assert shown.exit_code == 1
        assert "secret.key: " in shown.stderr


def test_a_packet_is_made_again_with_its_key(cli: Cli, imaged: Bench, tmp_path: Path) -> None:
    assert imaged.dataset.test_scenes
    words = ("study", "build", "--study", "pilot", "--methods", "alpha,beta", "--output")
    assert cli(*words, tmp_path / "one").exit_code == 0
    assert cli(*words, tmp_path / "two", "--key", tmp_path / "one" / "secret.key").exit_code == 0
    for name in ("SHA256SUMS", "study.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# ---- checks ----


def larger(packet: Path, size: Callable[[Path], int]) -> tuple[int, int, int]:
    """What a script gets that sees web/ and chooses the larger file: right, wrong, undecided."""
    lines = (packet / "trials.jsonl").read_text().splitlines()
    right_answers = {row["trial"]: row["expected"] for row in map(json.loads, lines)}
    right = wrong = undecided = 0
    for path in (packet / "web" / "packets").iterdir():
        for trial in json.loads(path.read_text())["trials"]:
            if right_answers[trial["trial"]] is None:
                continue
            left, other = (size(packet / "web" / "images" / trial[s]) for s in ("left", "right"))
            if left == other:
                undecided += 1
            elif ("left" if left > other else "right") == right_answers[trial["trial"]]:
                right += 1
            else:
                wrong += 1
    return right, wrong, undecided


def test_a_script_that_chooses_the_larger_file_learns_nothing(packet: Path) -> None:
    """Encoded as usual, the same images would give it every check."""

    def usual(path: Path) -> int:
        with Image.open(path) as image:
            return len(encode_png(image.convert("RGB")))

    right, wrong, undecided = larger(packet, usual)
    assert right > 0
    assert (wrong, undecided) == (0, 0)
    assert larger(packet, lambda path: path.stat().st_size) == (0, 0, right)


def test_nor_do_sizes_tell_methods_or_checks_apart(packet: Path) -> None:
    study = study_of(packet)
    shown = [name for name, entry in study["images"].items() if entry["role"] != "mask"]
    sizes = {(packet / "web" / "images" / f"{name}.png").stat().st_size for name in shown}
    assert sizes == {study["image_bytes"]}


def test_an_image_that_is_packed_tighter_is_found(packet: Path) -> None:
    study = study_of(packet)
    name = next(name for name, entry in study["images"].items() if entry["shows"] == "label")
    path = packet / "web" / "images" / f"{name}.png"
    with Image.open(path) as image:
        small = encode_png(image.convert("RGB"))
    path.unlink()
    path.write_bytes(small)
    sign(packet)
    assert any(
        line.startswith(f"web/images/{path.name}: has {len(small)} bytes")
        for line in problems(packet)
    )


@pytest.mark.parametrize("key", ["image_bytes", "key_sha256", "manifest_sha256"])
def test_a_packet_cannot_pass_for_an_earlier_one(packet: Path, key: str) -> None:
    rewrite(packet, **{key: None})
    sign(packet)
    assert any("study.json" in line and f"'{key}'" in line for line in problems(packet))
