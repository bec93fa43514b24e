"""Where things live on the user's disk, and ``hdbench.toml``, which remembers it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import UsageError, suggestion

CONFIG_FILE = "hdbench.toml"
_KEYS = ("benchmark", "data_root", "workspace")


@dataclass(frozen=True)
class Workspace:
    """One folder of runs, results and reports, over one dataset."""

    #: Holds ``runs/``, ``results/``, ``segmenters/``, ``reports/``.
    root: Path
    #: The dataset's folder.
    data_root: Path
    #: Name (or path) of the benchmark.
    benchmark: str

    def run(self, benchmark: str, method: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.root / "runs" / benchmark / method / f"seed{seed}"

    def segmenter(self, benchmark: str, seed: int) -> Path:
        """Return the folder of the segmenter that a benchmark trains."""
        return self.root / "segmenters" / benchmark / f"seed{seed}"

    def result(self, benchmark: str, method: str, seed: int, scoring: str) -> Path:
        """Return the JSON file of one result."""
        return self.root / "results" / benchmark / method / f"seed{seed}.{scoring}.json"

    def reports(self) -> Path:
        """Return the folder of tables and pages."""
        return self.root / "reports"

    def file_digests(self) -> Path:
        """Return the cache of file digests."""
        return self.root / "cache" / "digests.json"


def find_config(start: Path) -> Path | None:
    """Return the nearest ``hdbench.toml`` in a folder or above it, or None."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    return None


def open_workspace(
    start: Path,
    benchmark: str | None = None,
    data_root: Path | None = None,
    root: Path | None = None,
) -> Workspace:
    """Return the workspace of a folder; what is given goes before what ``hdbench.toml`` says.

    Args:
        start: the folder in which the command runs.
        benchmark: name or path of a benchmark, or None.
        data_root: the dataset's folder, or None.
        root: the workspace's folder, or None.

    Raises:
        UsageError: neither says which benchmark or where the data is, or the file is wrong.
    """
    config = find_config(start)
    known: dict[str, str] = {}
    if config is not None:
        try:
            known = tomllib.loads(config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config}: not readable as TOML: {error}") from None
        for key, value in known.items():
            if key not in _KEYS:
                raise UsageError(f"{config}: unknown key '{key}'{suggestion(key, _KEYS)}")
            if not isinstance(value, str):
                raise UsageError(f"{config}: {key} = {value!r}; expected a text in quotes")
    here = config.parent if config else start
    benchmark = benchmark or known.get("benchmark")
    if data_root is None and "data_root" in known:
        data_root = here / known["data_root"]
    missing = [
        name
        for name, value in (("--benchmark", benchmark), ("--data-root", data_root))
        if not value
    ]
    if missing or benchmark is None or data_root is None:
        raise UsageError(
            f"no {' and no '.join(missing)} given, and no {CONFIG_FILE} in {start} or above says.\n"
            "Next: 'hdbench init --benchmark camvid --data-root DIR' writes one here."
        )
    return Workspace(root or here / known.get("workspace", "hdbench-runs"), data_root, benchmark)


def write_config(folder: Path, benchmark: str, data_root: Path, root: Path) -> Path:
    """Write ``hdbench.toml`` into a folder and return its path.

    Raises:
        UsageError: the folder has one already, or cannot be written.
    """
    path = folder / CONFIG_FILE
    if path.exists():
        raise UsageError(f"{path}: exists already; edit it, or delete it first")
    values = {"benchmark": benchmark, "data_root": str(data_root), "workspace": str(root)}
    lines = [f"{key} = {_quoted(value)}\n" for key, value in values.items()]
    try:
        path.write_text("# Written by 'hdbench init'.\n" + "".join(lines), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
