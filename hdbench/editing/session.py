"""A session: a scene, its edits as a list that can be undone, and the one file that keeps both.

The first line of the file is the scene before all edits (``SessionBase``), every further one an
``Operation``. Lines are only ever appended, so the end of the process loses nothing that was
answered; they are not synchronised, so a power cut may.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import Scene
from hdbench.data.sheets import encode_png, png_bytes
from hdbench.editing.apply import Context, applied
from hdbench.editing.state import SceneState
from hdbench.errors import DataError, UsageError
from hdbench.schema.editing import (
    MOST_EDITS,
    MOST_REGIONS,
    Edit,
    Operation,
    SessionBase,
    StyleValue,
)
from hdbench.schema.record import first_problem
from hdbench.storage import append_line, read_bytes, write_atomically

#: What the name of a session's file ends in.
SESSION_SUFFIX = ".session.jsonl"
#: States that are kept, so that undo need not carry out all edits again.
_KEPT_STATES = 8
#: Of a scene that is edited.
MOST_PIXELS = 4096 * 4096


class SessionConflict(UsageError):
    """An operation was meant for another state of the session than its present one."""


@dataclass(frozen=True)
class BaseScene:
    """The scene before all edits."""

    scene: Scene
    #: Styles that were encoded from its photograph, by region; empty: all are random.
    styles: Mapping[int, StyleValue]
    #: Digest of the encoder that they are of.
    encoder: str | None = None

    def record(self, space: LabelSpace) -> SessionBase:
        """Return the first line of the session's file."""
        instance, image = self.scene.instance, self.scene.image
        if instance is not None and int(instance.max()) >= MOST_REGIONS:
            raise UsageError(
                f"scene '{self.scene.name}': instance {int(instance.max())}; editing needs ids "
                f"below {MOST_REGIONS}"
            )
        return SessionBase(
            schema=1,
            scene=self.scene.name,
            label_space=space.name,
            label=_text(encode_png(Image.fromarray(self.scene.label.numpy()))),
            instance=None
            if instance is None
            else _text(encode_png(Image.fromarray(instance.numpy().astype(np.uint16)))),
            photograph=None if image is None else _text(png_bytes(image)),
            styles={str(region): style for region, style in self.styles.items()},
            encoder=self.encoder,
        )


class Session:
    """A scene under edits; every operation is in its file before it counts."""

    def __init__(self, path: Path, base: BaseScene, context: Context) -> None:
        self.path, self.base, self._context = path, base, context
        self._operations: dict[str, Operation] = {}
        self._edits: list[Edit] = []
        #: How many of the edits count; those behind were undone.
        self.position = 0
        first = SceneState.of(base.scene)
        self._states = {0: SceneState(first.name, first.label, first.instance, base.styles)}

    @classmethod
    def create(cls, path: Path, base: BaseScene, context: Context) -> Session:
        """Return a new session, whose file is written.

        Raises:
            StorageError: it cannot be written.
        """
        content = base.record(context.space).model_dump_json(by_alias=True)
        write_atomically(path, content.encode())
        return cls(path, base, context)

    @classmethod
    def load(cls, path: Path, context: Context) -> Session:
        """Return the session of a file as it was after its last operation.

        A line that a crash cut short, which was never answered, is left out.

        Raises:
            DataError: the file is missing or damaged, or its scene has ids that the label space
                does not have.
            UsageError: its edits do not fit the scene: they are of another method or dataset.
        """
        content = read_bytes(path)
        session = cls(path, parse_base(content, str(path), context.space), context)
        for number, line in enumerate(content.splitlines()[1:], 2):
            try:
                operation = Operation.model_validate_json(line)
            except ValidationError as error:
                if error.errors()[0]["type"] == "json_invalid":  # empty, or cut short
                    continue
                raise DataError(f"{path}:{number}: {first_problem(error)}") from None
            if operation.revision != session.revision:
                raise DataError(
                    f"{path}:{number}: meant for revision {operation.revision}, but the lines "
                    f"before it are {session.revision}; a line is lost or damaged"
                )
            session._carry_out(operation)
        return session

    @property
    def revision(self) -> int:
        """How many operations were carried out."""
        return len(self._operations)

    @property
    def edits(self) -> list[Edit]:
        """The edits that count, in their order."""
        return self._edits[: self.position]

    @property
    def undone(self) -> int:
        """How many edits ``redo`` would bring back."""
        return len(self._edits) - self.position

    @property
    def state(self) -> SceneState:
        """The scene after the edits that count."""
        return self._state_at(self.position)

    @property
    def first(self) -> SceneState:
        """The scene before all edits."""
        return self._states[0]

    def knows(self, operation: Operation) -> bool:
        """Whether an operation was carried out before; raises SessionConflict if another was."""
        known = self._operations.get(operation.id)
        if known is not None and known != operation:
            raise SessionConflict(f"operation {operation.id}: another one had this id")
        return known is not None

    def carry_out(self, operation: Operation) -> None:
        """Carry out an operation and append it to the file; one that is known changes nothing.

        Raises:
            SessionConflict: it was meant for another revision than the present one.
            UsageError: the edit does not fit the scene, or there is nothing to undo or redo.
            StorageError: it cannot be appended; then it does not count.
        """
        if self.knows(operation):
            return
        if operation.revision != self.revision:
            raise SessionConflict(
                f"meant for revision {operation.revision}; the session is at {self.revision}"
            )
        position, edits, states = self.position, list(self._edits), dict(self._states)
        self._carry_out(operation)
        try:
            append_line(self.path, operation.model_dump_json())
        except BaseException:
            self.position, self._edits, self._states = position, edits, states
            del self._operations[operation.id]
            raise

    def tried(self, edit: Edit) -> SceneState:
        """Return the scene as it would be after an edit; nothing changes."""
        return applied(self.state, edit, self._context)

    def _carry_out(self, operation: Operation) -> None:
        match operation.kind:
            case "edit":
                assert operation.edit is not None
                if self.position >= MOST_EDITS:
                    raise UsageError(f"{MOST_EDITS} edits, the most of a session")
                after = applied(self.state, operation.edit, self._context)
                del self._edits[self.position :]
                self._states = {n: one for n, one in self._states.items() if n <= self.position}
                self._edits.append(operation.edit)
                self.position += 1
                self._keep(self.position, after)
            case "undo":
                if self.position == 0:
                    raise UsageError("nothing to undo")
                self.position -= 1
            case "redo":
                if not self.undone:
                    raise UsageError("nothing to redo")
                self.position += 1
            case "undo-all":
                self.position = 0
        self._operations[operation.id] = operation

    def _state_at(self, position: int) -> SceneState:
        nearest = max(n for n in self._states if n <= position)
        state = self._states[nearest]
        for n in range(nearest, position):
            state = applied(state, self._edits[n], self._context)
        self._keep(position, state)
        return state

    def _keep(self, position: int, state: SceneState) -> None:
        self._states[position] = state
        while len(self._states) > _KEPT_STATES:  # never the first one
            del self._states[min(n for n in self._states if n not in (0, position))]


def parse_base(content: bytes, where: str, space: LabelSpace) -> BaseScene:
    """Return the scene of a session's file.

    Raises:
        DataError: its first line is not that of a session, or its maps do not fit together.
    """
    try:
        record = SessionBase.model_validate_json(content.split(b"\n", 1)[0])
    except ValidationError as error:
        raise DataError(
            f"{where}: not a session of 'hdbench edit': {first_problem(error)}"
        ) from None
    if record.label_space != space.name:
        raise DataError(
            f"{where}: labels of '{record.label_space}'; the method reads those of '{space.name}'"
        )
    label = torch.from_numpy(_pixels(record.label, f"{where}: label", "L").astype(np.uint8))
    unknown = set(label.unique().tolist()).difference(entry.id for entry in space.classes)
    if unknown:
        raise DataError(
            f"{where}: label: id {min(unknown)}, which label space '{space.name}' does not have"
        )
    instance, image = None, None
    if record.instance is not None:
        instance = _pixels(record.instance, f"{where}: instance", "I;16")
        instance = torch.from_numpy(instance.astype(np.int32))
    if record.photograph is not None:
        photograph = _pixels(record.photograph, f"{where}: photograph", "RGB")
        image = torch.from_numpy(photograph).permute(2, 0, 1).contiguous()
    _require_one_size(where, label, instance, image)
    styles = {}
    for region, style in record.styles.items():
        if not region.isdecimal():
            raise DataError(f"{where}: styles: region '{region[:20]}' is not a number")
        styles[int(region)] = style
    scene = Scene(record.scene, label, instance, image)
    return BaseScene(scene, styles, record.encoder)


def _require_one_size(where: str, *maps: Tensor | None) -> None:
    sizes = {tuple(one.shape[-2:]) for one in maps if one is not None}
    if len(sizes) > 1:
        raise DataError(f"{where}: label, instance and photograph differ in size")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _pixels(text: str, what: str, mode: str) -> np.ndarray:
    """Return the pixels of a PNG in base64, of one mode."""
    try:
        content = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{what}: {image.width}x{image.height}; {MOST_PIXELS:,} pixels at most"
                )
            if image.mode != mode:
                raise DataError(f"{what}: a PNG of mode {image.mode}; expected {mode}")
            return np.array(image)
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        raise DataError(f"{what}: not a readable PNG in base64") from None
