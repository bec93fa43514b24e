"""Where things live on the user's disk, and ``hdbench.toml``, which remembers it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import UsageError, suggestion

CONFIG_FILE = "hdbench.toml"
#: What runs where nothing is said: it needs no data and no weights.
DEFAULT_BENCHMARK = "streets"
_WORKSPACE = "hdbench-runs"
_KEYS = ("benchmark", "data_root", "workspace")


@dataclass(frozen=True)
class Workspace:
    """One folder of runs, results and reports, over one dataset."""

    #: Holds ``runs/``, ``results/``, ``methods/``, ``segmenters/``, ``perceptual/``, ``studies/``,
    #: ``reports/``, ``data/``.
    root: Path
    #: The dataset's folder, or None, which is enough for built-in scenes.
    data_root: Path | None
    #: Name (or path) of the benchmark.
    benchmark: str

    def run(self, benchmark: str, method: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.root / "runs" / benchmark / method / f"seed{seed}"

    def methods(self) -> Path:
        """Return the folder of the method files that belong to this workspace alone."""
        return self.root / "methods"

    def imported_weights(self, method: str) -> Path:
        """Return the folder of the networks that were imported as a method."""
        return self.methods() / method

    def segmenter(self, benchmark: str, seed: int, second: bool = False) -> Path:
        """Return the folder of the segmenter that a benchmark trains, or of its second one."""
        folder = self.root / "segmenters" / benchmark
        return (folder / "second" if second else folder) / f"seed{seed}"

    def perceptual(self, benchmark: str, seed: int) -> Path:
        """Return the folder of the perceptual network that a benchmark trains."""
        return self.root / "perceptual" / benchmark / f"seed{seed}"

    def result(self, benchmark: str, method: str, seed: int, scoring: str) -> Path:
        """Return the JSON file of one result."""
        return self.root / "results" / benchmark / method / f"seed{seed}.{scoring}.json"

    def built_in_data(self, name: str) -> Path:
        """Return the folder of a dataset that hdbench draws itself."""
        return self.root / "data" / name

    def study(self, name: str) -> Path:
        """Return the folder of a study's packet."""
        return self.root / "studies" / name

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
    default: str = DEFAULT_BENCHMARK,
) -> Workspace:
    """Return the workspace of a folder; what is given goes before what ``hdbench.toml`` says.

    Where neither says anything: the default benchmark, in ``./hdbench-runs``. Raises UsageError if
    the file is wrong, or a dataset's folder is named and no benchmark.
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
    if benchmark is None and data_root is not None:
        raise UsageError(
            f"{data_root}: no --benchmark is given, and no {CONFIG_FILE} in {start} or above says "
            "which benchmark this dataset is for.\n"
            "Next: 'hdbench list' names the benchmarks"
        )
    root = root or here / known.get("workspace", _WORKSPACE)
    return Workspace(root, data_root, benchmark or default)


def write_config(folder: Path, benchmark: str, data_root: Path | None, root: Path) -> Path:
    """Write a new ``hdbench.toml`` into a folder and return its path; None leaves a key out.

    Raises:
        UsageError: the folder has one already, or cannot be written.
    """
    path = folder / CONFIG_FILE
    if path.exists():
        raise UsageError(f"{path}: exists already; edit it, or delete it first")
    values = {"benchmark": benchmark, "data_root": data_root, "workspace": root}
    lines = [f"{key} = {_quoted(str(value))}\n" for key, value in values.items() if value]
    try:
        path.write_text("# Written by 'hdbench init'.\n" + "".join(lines), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
