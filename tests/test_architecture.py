"""The house's rules, kept by reading the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hdbench"
#: From the ground up: a room imports only itself and rooms above it in this list.
ROOMS = (
    "errors",
    "storage",
    "text",
    "provenance",
    "schema",
    "library",
    "runtime",
    "web",
    "data",
    "streets",
    "networks",
    "styles",
    "evaluation",
    "training",
    "floors",
    "synthesis",
    "segmentation",
    "perceptual",
    "editing",
    "workspace",
    "exchange",
    "study",
    "reporting",
    "workflows",
    "editor",
    "api",
    "cli",
)
MODULES = sorted(PACKAGE.rglob("[!_]*.py"))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "hdbench" and len(parts) > 1 else None


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported_modules(path: Path) -> set[str]:
    """The modules of hdbench that a file imports, at its top or in a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide their direction"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if room_of(name) and path_of(name).is_file()}


def imported_rooms(path: Path) -> set[str]:
    return {room for name in imported_modules(path) if (room := room_of(name)) in ROOMS}


def test_every_room_is_in_the_list() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()
    }
    assert found - {"__init__", "__main__"} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upwards_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = set(ROOMS[: ROOMS.index(own) + 1])
    assert imported_rooms(path) <= allowed


def test_evaluation_reaches_no_model_no_dataset_on_disk_and_no_workspace() -> None:
    """Not through other modules either: whatever it imports is followed to the end."""
    reached: set[str] = set()
    waiting = [f"hdbench.evaluation.{path.stem}" for path in (PACKAGE / "evaluation").glob("*.py")]
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        waiting += imported_modules(path_of(module))
    rooms = {room_of(module) for module in reached}
    assert not rooms & {"networks", "training", "segmentation", "perceptual", "workspace"}
    assert not rooms & {"streets", "floors", "synthesis", "study", "reporting", "workflows", "cli"}
    assert not reached & {
        "hdbench.data.layouts",
        "hdbench.data.loading",
        "hdbench.data.foreign_images",
        "hdbench.runtime.weights",
        "hdbench.runtime.checkpoint",
    }


def test_files_stay_short_enough_to_open() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in PACKAGE.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 420
    }
    assert not long


def test_library_folders_hold_no_python() -> None:
    for folder in ("models", "protocols", "reports"):
        assert not list((ROOT / folder).rglob("*.py"))
        assert (ROOT / folder / "README.md").is_file()


def test_help_imports_nothing_heavy() -> None:
    """What makes --help instant: no verb's module imports what computes."""
    heavy = ("torch", "pandas", "matplotlib", "pydantic", "numpy", "segmentation_models_pytorch")
    for path in (PACKAGE / "cli").glob("*.py"):
        for node in ast.parse(path.read_text()).body:  # top level only
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & set(heavy)
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.split(".")[0] not in heavy
                assert room_of(node.module) in (None, "cli", "errors", "text")
