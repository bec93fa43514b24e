"""Ways to get a false number from a study of people: each changes one file or field, in vain."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from hdbench.study.packet.files import packet_files, sums_of, write_sums
from hdbench.study.packet.verify import verify


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
    assert any(line.startswith("manifest.csv: is missing") for line in problems(packet))
