"""What is returned in place of a stored record that no longer holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import HdbenchError, listing


@dataclass(frozen=True)
class Stale:
    """A record that cannot be used, and why."""

    path: Path
    #: What has changed since it was written; empty if there is no such file.
    reasons: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        """Whether there is no record at all."""
        return not self.reasons

    def error(self, command: str) -> HdbenchError:
        """Return the error of a verb that needs the record; ``command`` makes it anew."""
        if self.missing:
            return HdbenchError(f"{self.path}: no such file.\nNext: '{command}'")
        return HdbenchError(
            f"{self.path}: stale, so it is not used (stored -> now):\n"
            f"{listing(self.reasons)}\nNext: '{command}'"
        )
