"""``manifest.csv``: what each image file of a packet shows, and the file that it was made from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from hdbench.provenance import digest
from hdbench.schema.packet import StudyRecord
from hdbench.study.design.balance import Finding
from hdbench.study.packet.files import STUDY_FILE, Packet
from hdbench.text import csv_cell

MANIFEST_FILE = "manifest.csv"
_CONTENT = ("role", "method", "scene", "shows", "source")
#: SHA-256 of the file that an image was made from. Packets built earlier lack this column.
_SOURCE_DIGEST = "source_sha256"
_DIGEST = "sha256"


def manifest_bytes(
    study: StudyRecord, hashes: Mapping[str, str], sources: Mapping[str, str]
) -> bytes:
    """Return the private table of images, safe to open in a spreadsheet.

    ``hashes`` are SHA-256 of each image file by its hexadecimal name, ``sources`` those of the file
    that it was made from; patterns have none.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *_CONTENT, _SOURCE_DIGEST, _DIGEST])
    for name, image in study.images.items():
        cells = (csv_cell(getattr(image, key) or "") for key in _CONTENT)
        writer.writerow([f"{name}.png", *cells, sources.get(name, ""), hashes[name]])
    return text.getvalue().encode()


def check_manifest(packet: Packet, hashes: Mapping[str, str]) -> Finding:
    """Check every row of the manifest against the image file that it names and the study.

    ``SHA256SUMS`` alone does not show that two image files were exchanged: it can be renewed. The
    manifest says which content belongs to which name, ``study.json`` has the manifest's own digest,
    and the digests of the methods' files together are the digest of the images in its inputs.
    """
    study, wrong = packet.study, []
    expected = study.manifest_sha256
    if expected is not None and hashes.get(MANIFEST_FILE, expected) != expected:
        wrong.append(f"{MANIFEST_FILE}: its SHA-256 is not the manifest_sha256 of {STUDY_FILE}")
    rows = _rows(packet.folder / MANIFEST_FILE)
    if rows is not None:
        wrong += _problems(study, rows, hashes)
    elif MANIFEST_FILE in hashes:
        wrong.append(f"{MANIFEST_FILE}: not readable as CSV")
    else:
        wrong.append(f"{MANIFEST_FILE}: is missing, so nothing says what each image file shows")
    return Finding(
        "every image file has the content that the manifest lists",
        f"{len(rows or ())} rows",
        wrong,
    )


def _rows(path: Path) -> dict[str, dict[str, str]] | None:
    """Return the manifest's rows by the name of their image, None if it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    found = {row.get("image") or "": row for row in rows}
    if len(found) < len(rows) or any(None in row.values() or None in row for row in rows):
        return None
    return found


def _problems(
    study: StudyRecord, rows: Mapping[str, Mapping[str, str]], hashes: Mapping[str, str]
) -> Iterator[str]:
    for name in sorted(rows.keys() ^ {f"{name}.png" for name in study.images}):
        absent = MANIFEST_FILE if name not in rows else STUDY_FILE
        yield f"images/{name}: {absent} does not list it"
    digests: dict[tuple[str | None, str | None], str] = {}
    for name, image in study.images.items():
        row = rows.get(f"{name}.png")
        if row is None:
            continue
        file = f"images/{name}.png"
        for key in _CONTENT:
            said, known = row.get(key), csv_cell(getattr(image, key) or "")
            if said != known:
                yield f"{file}: {key} is {said!r} in {MANIFEST_FILE}, {known!r} in {STUDY_FILE}"
        if file in hashes and row.get(_DIGEST) != hashes[file]:
            what = " of ".join(part for part in (image.method or image.shows, image.scene) if part)
            yield f"{file}: is not the image{what and f' {what}'} that {MANIFEST_FILE} lists"
        if image.role == "method":
            digests[image.method, image.scene] = row.get(_SOURCE_DIGEST) or ""
    listed = any(digests.values()) or study.manifest_sha256 is not None
    if listed and digest([digests.get(key, "") for key in study.shown]) != study.inputs.images:
        yield (
            f"{MANIFEST_FILE}: {_SOURCE_DIGEST} of the methods' images do not give the digest "
            f"of images in the inputs of {STUDY_FILE}"
        )
