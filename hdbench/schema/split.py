"""Which scenes of a dataset: a split, or the first of its scenes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOTATION = re.compile(r"(?P<name>[^\[\]/\\]+)(\[:(?P<count>[1-9][0-9]*)\])?")


@dataclass(frozen=True)
class Split:
    """A split of a dataset (``train``) or its first scenes in name order (``train[:16]``)."""

    #: The split's name in its layout.
    name: str
    #: How many scenes, or None for all.
    count: int | None

    @classmethod
    def parse(cls, text: str) -> Split:
        """Return the split that a text names; the notation is that of TFDS and Hugging Face.

        Raises:
            ValueError: it is neither a name nor a name with ``[:count]``.
        """
        match = _NOTATION.fullmatch(text)
        if match is None:
            raise ValueError(
                f"'{text}' is no split; expected a name ('train'), "
                "or its first scenes ('train[:16]', from 1 upwards)"
            )
        count = match["count"]
        return cls(match["name"], None if count is None else int(count))
