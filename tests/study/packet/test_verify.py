"""The proof: it accepts a packet as built, and finds whatever is changed in it."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from packets import rows_of, study_of

from hdbench.study.packet.files import packet_files
from hdbench.study.packet.verify import verify

Cli = Callable[..., Result]


def problems(packet: Path) -> list[str]:
    return [line for finding in verify(packet) for line in finding.violations]


def sign(packet: Path) -> None:
    """Make the sums right again, as somebody who wants to hide a change would."""
    names = [str(path.relative_to(packet)) for path in packet_files(packet)]
    sums = subprocess.run(
        ["sha256sum", *names], cwd=packet, capture_output=True, text=True, check=True
    )
    (packet / "SHA256SUMS").write_text(sums.stdout)


def rewrite_rows(packet: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    rows = rows_of(packet)
    change(rows)
    lines = (json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows)
    (packet / "trials.jsonl").write_text("".join(lines))
    sign(packet)


def rewrite_study(packet: Path, **changes: Any) -> None:
    (packet / "study.json").write_text(json.dumps(study_of(packet) | changes))
    sign(packet)


def places(lines: list[str]) -> list[str]:
    """What each problem is about: the file or scene before the colon."""
    return [line.partition(": ")[0] for line in lines]


def judgment(rows: list[dict[str, Any]], number: int = 0) -> dict[str, Any]:
    return [row for row in rows if row["kind"] == "judgment"][number]


def swap_side(rows: list[dict[str, Any]]) -> None:
    row = judgment(rows)
    row["left"], row["right"] = row["right"], row["left"]
    row["left_image"], row["right_image"] = row["right_image"], row["left_image"]


def test_a_packet_as_built_holds_and_sha256sum_agrees(cli: Cli, packet: Path) -> None:
    result = cli("study", "verify", packet)
    assert result.exit_code == 0
    assert all(line.startswith("yes  ") for line in result.stdout.splitlines())
    assert "1 + 1 for each of 9" in result.stdout
    said = json.loads(cli("study", "verify", packet, "--json").stdout)
    assert said["holds"] is True
    assert len(said["claims"]) == len(result.stdout.splitlines())
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=packet, check=True)
    sign(packet)
    assert problems(packet) == []


def test_results_may_grow(packet: Path) -> None:
    (packet / "results" / "judgments.jsonl").write_text("{}\n")
    assert problems(packet) == []


def test_every_violation_is_listed_with_status_1(cli: Cli, packet: Path) -> None:
    (packet / "preview.html").write_text("other")
    (packet / "manifest.csv").unlink()
    (packet / "web" / "notes.txt").write_text("hello")
    result = cli("study", "verify", packet)
    assert result.exit_code == 1
    assert result.stdout.startswith("NO ")  # the sums are the first claim
    count, *lines = result.stderr.splitlines()
    assert count.endswith("packet: 5 problems")
    files = ["manifest.csv", "manifest.csv", "preview.html", "web/notes.txt", "web/notes.txt"]
    assert sorted(places(lines)) == files


def test_one_changed_byte_of_an_image_is_found(packet: Path) -> None:
    path = next((packet / "images").iterdir())
    content = bytearray(path.read_bytes())
    path.unlink()  # the file in web/ may be the same one
    content[-20] ^= 1
    path.write_bytes(content)
    image, copy = f"images/{path.name}", f"web/images/{path.name}"
    assert places(problems(packet)) == [image, copy, image]  # its sum, its copy, the manifest
    sign(packet)
    assert places(problems(packet)) == [copy, image]


def test_a_swapped_side_is_found_even_with_right_sums(packet: Path) -> None:
    rewrite_rows(packet, swap_side)
    found = "\n".join(problems(packet))
    row = judgment(rows_of(packet))
    line = rows_of(packet).index(row) + 1
    for expected in (
        rf"trials\.jsonl line {line}: left .*'{row['left']}'.*'{row['right']}'",
        f"{row['a']} against {row['b']} on {row['scene']}: .*expected 1 and 1",
        "1 judgment of 3 and 3",
        r"web/packets/\w+\.json: ",
    ):
        assert re.search(expected, found)


def test_balance_is_counted_from_the_rows_alone(packet: Path) -> None:
    """A packet that agrees with itself everywhere, but was drawn unfairly, is found."""

    def unfair(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["kind"] == "judgment" and row["pass"] % 2:
                swap_side([row])

    rewrite_rows(packet, unfair)
    found = "\n".join(problems(packet))
    assert re.search("(2|0) with alpha left, (0|2) with alpha right; expected 1 and 1", found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "trials.jsonl: 47 .* 48"),
        (lambda rows: rows.insert(0, rows.pop(1)), "packet 0, position 1: .* packet -1"),
        (lambda rows: judgment(rows).update(scene="val_77"), "on val_77 "),
        (lambda rows: judgment(rows).update(left="alpha", right="alpha"), "alpha against alpha on"),
        (lambda rows: judgment(rows).update(scene=judgment(rows, 1)["scene"]), "val_.. comes 2 "),
        (lambda rows: judgment(rows).update(trial=rows[0]["trial"]), r"trial \w+: comes 2 "),
        (lambda rows: rows[0].update(kind="check"), "packet 0: .* 2 practice"),
        (
            lambda rows: rows[0].update(left_image=judgment(rows)["left_image"]),
            r"trial \w+: \w+\.png ",
        ),
        (lambda rows: rows[0].pop("kind"), "trials.jsonl line 1: .*'kind'"),
        (lambda rows: rows[0].update(sheet=1), "trials.jsonl line 1: .*'sheet'"),
        (lambda rows: rows[1].update(packet="0"), "trials.jsonl line 2: packet = '0'"),
        (lambda rows: rows[0].update(packet=6), "trials.jsonl line 1: packet 6"),
        (lambda rows: judgment(rows).update(a=None), r"trials.jsonl line \d+: .* a, b"),
        (lambda rows: rows.clear(), "trials.jsonl: "),
    ],
)
def test_a_changed_trial_is_found(
    packet: Path, change: Callable[[list[dict[str, Any]]], Any], message: str
) -> None:
    rewrite_rows(packet, change)
    assert re.search(message, "\n".join(problems(packet)))


def test_a_broken_line_is_named(packet: Path) -> None:
    lines = (packet / "trials.jsonl").read_text().splitlines()
    lines[4] = lines[4][:30]
    (packet / "trials.jsonl").write_text("\n".join(lines))
    assert any("trials.jsonl line 5: " in line for line in problems(packet))


def test_rules_that_were_changed_after_the_build_are_found(packet: Path) -> None:
    study = study_of(packet)
    rewrite_study(packet, quality=study["quality"] | {"checks_passed": 0})
    [problem] = problems(packet)
    assert problem.startswith("study.json: quality ")
    study["protocol"]["quality"]["checks_passed"] = 0
    rewrite_study(packet, protocol=study["protocol"], quality=study["protocol"]["quality"])
    assert any(line.startswith("study.json: protocol_hash ") for line in problems(packet))
    rewrite_study(packet, seed=1)
    assert any(re.match("study.json: design_hash .*seed 1", line) for line in problems(packet))


def test_a_renamed_image_is_found(packet: Path) -> None:
    study = study_of(packet)
    name = next(name for name, entry in study["images"].items() if entry["method"] == "alpha")
    images = {**study["images"], "0" * 16: study["images"][name]}
    for place in ("images", "web/images"):
        (packet / place / f"{name}.png").rename(packet / place / f"{'0' * 16}.png")
    rewrite_study(packet, images=images)
    assert {f"images/{'0' * 16}.png", f"images/{name}.png"} <= set(places(problems(packet)))


def test_a_check_of_a_scene_under_comparison_is_found(packet: Path) -> None:
    study = study_of(packet)
    rewrite_study(packet, controls=[study["scenes"][0], *study["controls"][1:]])
    assert "val_00" in places(problems(packet))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I4s", len(content), kind)
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        (lambda png: png[:-12] + chunk(b"tEXt", b"Title\0alpha") + png[-12:], " 'tEXt'"),
        (lambda png: png + b"alpha", " 5 bytes"),
        (lambda png: png[:-12], " cut"),
        (lambda png: b"GIF89a" + png, " PNG"),
    ],
)
def test_names_in_image_files_are_found(
    packet: Path, leak: Callable[[bytes], bytes], message: str
) -> None:
    path = next((packet / "web" / "images").iterdir())
    content = leak(path.read_bytes())
    path.write_bytes(content)
    sign(packet)
    found = [line for line in problems(packet) if line.startswith(f"web/images/{path.name}: ")]
    assert any(message in line for line in found)


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("mturk/layout.html", "<p>ALPHA or other</p>", "method 'alpha'"),
        ("mturk/batch.csv", "packet,scene\n1,val_01\n", "scene 'val_01'"),
        ("mturk/README.md", "from train_02.png\n", "scene 'train_02'"),
        ("web/index.html", "<script>var m = 'beta';</script>", "method 'beta'"),
        ("mturk/oracle.txt", "", "method 'oracle'"),
    ],
)
def test_names_in_served_files_are_found(packet: Path, file: str, text: str, what: str) -> None:
    path = packet / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    sign(packet)
    assert any(line.startswith(f"{file}: ") and what in line for line in problems(packet))


@pytest.mark.parametrize("text", ["alphabetical order", "x_alphax", "40_val_011"])
def test_parts_of_words_are_no_names(packet: Path, text: str) -> None:
    (packet / "mturk" / "layout.html").write_text(text)
    sign(packet)
    assert problems(packet) == []


def test_names_in_public_packets_are_found(packet: Path) -> None:
    path = next((packet / "web" / "packets").iterdir())
    public = json.loads(path.read_text())
    public["trials"][0]["left"] = "alpha.png"
    path.write_text(json.dumps(public))
    sign(packet)
    found = problems(packet)
    assert places(found) == [f"web/packets/{path.name}"] * 2  # other trials, and a name
    assert "'alpha.png'" in found[1]


def test_what_is_no_packet_is_said_to_be_none(cli: Cli, tmp_path: Path) -> None:
    result = cli("study", "verify", tmp_path)
    assert result.exit_code == 2
    assert "study.json" in result.stderr
    (tmp_path / "study.json").write_text("{")
    assert "study.json: " in cli("study", "verify", tmp_path).stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"packets": 99}, "packets = 99"),
        ({"packet_ids": []}, "0 packet_ids"),
        ({"pairs": []}, "pairs = []"),
        ({"pairs": [["alpha", "gamma"]]}, ": pairs "),
        ({"scenes": []}, "scenes = []"),
        ({"controls": []}, "0 controls"),
        ({"images": {}}, "images/"),
        ({"key": "key"}, "key = 'key'"),
        ({"seed": "0"}, "seed = '0'"),
        ({"size": [64]}, "size"),
        ({"regions": {"val_00": [1, 2]}}, "regions val_00"),
        ({"schema": 2}, "schema = 2"),
        ({"protocol": {}}, "protocol key 'name'"),
        ({"colour": "red"}, "key 'colour'"),
    ],
)
def test_whatever_is_wrong_with_the_study_is_said(
    packet: Path, changes: dict[str, Any], message: str
) -> None:
    rewrite_study(packet, **changes)
    assert any("study.json" in line and message in line for line in problems(packet))


def test_a_public_packet_that_is_cut_is_named(packet: Path) -> None:
    path = next((packet / "web" / "packets").iterdir())
    path.write_text(path.read_text()[:50])
    sign(packet)
    found = [line for line in problems(packet) if line.startswith(f"web/packets/{path.name}: ")]
    assert any("JSON" in line for line in found)
