"""Processes forked from a server that has imported hdbench and run nothing: they start at once.

A process that has already trained must not be forked: PyTorch's threads do not come along.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch

#: What most processes need; ``conftest`` imports most of hdbench.
PRELOADED = [
    "conftest",
    "hdbench.cli.main",
    "hdbench.study.server.running",
    "hdbench.workflows.edit",
    "hdbench.workflows.reproduce",
    "hdbench.workflows.styles",
    "uvicorn",
]


def forking() -> ForkServerContext:
    """A context whose processes are forked from the server; a test process has one server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:  # the server finds conftest by this alone
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return context


def _nothing() -> None:
    pass


def _hdbench(words: list[str], folder: Path, said: list[Path], prepare: Callable[[], Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    for number, path in enumerate(said, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    torch.set_num_threads(1)
    prepare()
    sys.argv = ["hdbench", *words]
    runpy.run_module("hdbench", run_name="__main__", alter_sys=True)


class Forked:
    """hdbench in a process group of its own, as from a shell; looks like ``subprocess.Popen``.

    ``prepare`` is called in it first: a function of a module.
    """

    def __init__(
        self, *words: str | Path, cwd: Path, prepare: Callable[[], Any] = _nothing
    ) -> None:
        self._said = [cwd / f".said-{os.urandom(4).hex()}" for _ in range(2)]
        arguments = ([str(word) for word in words], cwd, self._said, prepare)
        self._process = forking().Process(target=_hdbench, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    @property
    def output(self) -> str:
        """What it has said so far on standard output."""
        return self._read(0)

    @property
    def error(self) -> str:
        """What it has said so far on standard error."""
        return self._read(1)

    def _read(self, stream: int) -> str:
        path = self._said[stream]
        return path.read_bytes().decode() if path.exists() else ""

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until its standard output has a match of ``pattern``."""
        while not (found := re.search(pattern, self.output, re.MULTILINE | re.DOTALL)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(timeout=0.02)
                raise AssertionError(self.output + self.error)
        return found

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("hdbench", timeout)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for the end; return what was said on standard output and on standard error."""
        self.wait(timeout)
        return self.output, self.error

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.join()
