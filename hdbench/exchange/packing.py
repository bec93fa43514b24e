"""From the files of a workspace to one archive: names of members, and the manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdbench.schema.base import LibraryFile
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.bundle import MANIFEST, Manifest, Member
from hdbench.schema.label_space import OwnLabelSpace

BENCHMARK_MEMBER = "benchmark.json"
SCORING_MEMBER = "scoring.json"
SEGMENTER_MEMBER = "segmenters/first.json"
SECOND_SEGMENTER_MEMBER = "segmenters/second.json"

_FOREIGN = re.compile(r"[^A-Za-z0-9._@+-]+")


def method_folder(number: int, method: str) -> str:
    """Return the folder of a method's members, with a number: two names may look alike in it."""
    return f"methods/{number:02}-{_FOREIGN.sub('-', method)[:80]}"


def resolved_bytes(file: LibraryFile) -> bytes:
    """Return a library file with all of its keys as JSON.

    Of the path of one's own label space, its last part is left.
    """
    content = file.model_dump(mode="json")
    if isinstance(file, Benchmark) and isinstance(file.data.label_space, OwnLabelSpace):
        content["data"]["label_space"]["path"] = Path(file.data.label_space.path).name
    return _json_bytes(content)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the one content that a manifest has as a file."""
    return _json_bytes(manifest.model_dump(by_alias=True))


def with_manifest(members: Mapping[str, bytes], facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the members of an archive with its manifest, whose other keys are ``facts``."""
    listed = [
        Member(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(members.items())
    ]
    manifest = Manifest(**facts, members=listed)
    return {MANIFEST: manifest_bytes(manifest), **members}


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
