"""A call in a process that ends itself with SIGKILL."""

from __future__ import annotations

import os
import pkgutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from forks import forking

#: What is called; a function of a module, with arguments that can be pickled.
Call = Callable[..., object]


def _dying(name: str, number: int, marker: str, folder: Path, call: Call, arguments: Any) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    owner_name, _, attribute = name.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    real, calls = getattr(owner, attribute), []

    def dies(*given: Any, **options: Any) -> Any:
        if marker in " ".join(str(getattr(one, "folder", one)) for one in given[:2]):
            calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **options)

    setattr(owner, attribute, dies)
    call(*arguments)


def killed_in(name: str, number: int, call: Call, *arguments: object, marker: str = "") -> int:
    """Make a call that is killed as the named function is called for the ``number``-th time.

    Args:
        name: The function, as ``package.module.Class.method``; calls count that have ``marker``
            in their first two arguments.
        number: Which of them is never carried out, counted from 1.
        call: What runs, in the current folder.
        marker: See ``name``.

    Returns:
        The process's id.
    """
    process = forking().Process(
        target=_dying, args=(name, number, marker, Path.cwd(), call, arguments)
    )
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL
    return process.pid or 0
