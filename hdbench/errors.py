"""The errors that hdbench raises for its users, and the words that help them on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HdbenchError(Exception):
    """A failure with a message for the user: what, where, what was expected, what to do next."""

    exit_code = 1


class UsageError(HdbenchError):
    """What was asked for does not exist or does not fit together (exit status 2)."""

    exit_code = 2


class LibraryError(UsageError):
    """A file of the library (methods, protocols, reports) says something it may not say."""


class DataError(HdbenchError):
    """A dataset on disk is not what its layout promises."""


class StorageError(HdbenchError):
    """A file or folder cannot be written."""


class CheckpointError(HdbenchError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class DivergedError(HdbenchError):
    """Training produced a loss or gradient that is not finite."""


class MemoryShortage(HdbenchError):
    """The memory of a GPU, or of the machine, does not suffice."""


class RankError(HdbenchError):
    """Another process of the same job has failed, so this one cannot go on."""


class WorkerError(HdbenchError):
    """A child process that made something ahead has ended before it was done."""


class Interrupted(HdbenchError):
    """The user stopped a long job; what was done is saved (exit status 130)."""

    exit_code = 130


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of the choices, else the list of them."""
    choices = sorted(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(choices)})" if choices else ""


def listing(problems: Iterable[str], limit: int = 12) -> str:
    """Return problems as indented lines, the first ``limit`` of them and a count of the rest."""
    problems = list(problems)
    lines = [f"  {line}" for line in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """Return ``1 problem``, ``2 problems``, ``1,000 problems`` and the like."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
