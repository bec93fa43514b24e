"""Label space files (``protocols/label-spaces/*.toml``): classes, their ids, names and colours."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LibraryFile, Positive, Table

Byte = Annotated[int, Field(ge=0, le=255)]
VOID_NAME: Literal["void"] = "void"


class LabelClass(Table):
    """One class."""

    #: The class's channel in the one-hot encoding, and its value in label maps on disk.
    id: Byte
    name: str
    #: RGB, 0 to 255; in colour-coded label maps of one's own, what stands for the class.
    colour: Annotated[list[Byte], Field(min_length=3, max_length=3)]
    #: Row in the confusion matrix, or ``void``: never scored. Where no class but those of void has
    #: one, the others are numbered in the order of their ids.
    train_id: Annotated[int, Field(ge=0, le=254)] | Literal["void"] | None = None
    #: The value in label maps on disk, where it is not the id: 255 for COCO-Stuff's void, which
    #: would need 256 channels.
    stored: Byte | None = None


class LabelSpaceFile(LibraryFile):
    """The classes of label maps; a released one is never edited, because scores depend on it."""

    #: Channels of the one-hot encoding; where it is left out, the highest id plus 1.
    channels: Positive | None = None
    #: In the order of their ids; none where a dataset has no label maps.
    classes: list[LabelClass]

    @model_validator(mode="after")
    def _is_consistent(self) -> LabelSpaceFile:
        if not self.classes:
            if self.channels is not None:
                raise ValueError(f"channels = {self.channels}, and there are no classes")
            return self
        ids = [entry.id for entry in self.classes]
        for before, after in pairwise(ids):
            if before >= after:
                raise ValueError(f"classes: id {after} stands after id {before}; sort them by id")
        _require_single("name", [entry.name for entry in self.classes])
        _require_single("stored value", list(self.values_on_disk.values()))
        if self.channels is not None and ids[-1] >= self.channels:
            raise ValueError(f"channels = {self.channels}; id {ids[-1]} needs {ids[-1] + 1}")
        stated = [entry.train_id for entry in self.classes if isinstance(entry.train_id, int)]
        if stated and (
            None in [entry.train_id for entry in self.classes]
            or sorted(stated) != list(range(len(stated)))
        ):
            raise ValueError(
                f"classes: {len(stated)} train ids; expected each of 0 to {len(stated) - 1} once, "
                "and 'void' for every other class, or none but 'void'"
            )
        if len(self.train_ids) > 255:
            raise ValueError("classes: 256 are scored; at least one id must be 'void'")
        if not self.train_ids:
            raise ValueError("classes: all are void; nothing could be scored")
        return self

    @property
    def one_hot_channels(self) -> int:
        """Channels of the one-hot encoding."""
        return self.channels or max((entry.id + 1 for entry in self.classes), default=0)

    @property
    def values_on_disk(self) -> dict[int, int]:
        """The value on disk of each id."""
        return {
            entry.id: entry.id if entry.stored is None else entry.stored for entry in self.classes
        }

    @property
    def train_ids(self) -> dict[int, int]:
        """The train id of each id that is scored."""
        scored = [entry for entry in self.classes if entry.train_id != VOID_NAME]
        return {
            entry.id: entry.train_id if isinstance(entry.train_id, int) else position
            for position, entry in enumerate(scored)
        }

    def as_identity(self) -> Any:
        """Return the name: a space that ships is never edited."""
        return self.name


class OwnLabelSpace(LabelSpaceFile):
    """A label space that a user's file states; its content may change and identifies it."""

    #: The file, for messages.
    path: str

    def as_identity(self) -> Any:
        """Return name, channels and classes, without colours."""
        train_ids, on_disk = self.train_ids, self.values_on_disk
        return {
            "name": self.name,
            "channels": self.one_hot_channels,
            "classes": [
                [entry.id, entry.name, train_ids.get(entry.id), on_disk[entry.id]]
                for entry in self.classes
            ],
        }


def _require_single(noun: str, values: list[Any]) -> None:
    for n, value in enumerate(values):
        if value in values[:n]:
            raise ValueError(f"classes: the {noun} '{value}' belongs to two classes")
