"""A small method with styles, trained in seconds on scenes that have instances."""

from __future__ import annotations

from pathlib import Path

from conftest import MACHINE, write_small_streets

from hdbench.schema.method import require_trained
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

METHOD = "with-styles"
FILE = """
extends = "ours"
name    = "with-styles"
title   = "With styles"
source  = "a test"

[loss]
perceptual = 0

[encoder]
base_channels  = 16
downsamplings  = 2
style_channels = 3
"""


def opened(root: Path, **values: str) -> Bench:
    """The small streets, whose scenes have instances, in a workspace with the method's file."""
    path = write_small_streets(root)
    (root / "ws" / "methods").mkdir(parents=True, exist_ok=True)
    (root / "ws" / "methods" / f"{METHOD}.toml").write_text(FILE)
    bench = open_bench(Workspace(root / "ws", None, str(path)))
    return bench.with_benchmark(bench.benchmark.model_copy(update=values))


def train_styled(root: Path) -> Bench:
    """Train the method in ``root / "ws"``."""
    bench = opened(root)
    train_method(bench, require_trained(bench.library.method(METHOD)), 0, MACHINE)
    return bench
