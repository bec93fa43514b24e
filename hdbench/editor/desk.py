"""The sessions that a server has open, and what the page is told about them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from torch import Tensor

from hdbench.editing.photograph import read_upload
from hdbench.editing.rendering import box_of
from hdbench.editing.session import SESSION_SUFFIX, Session, SessionConflict
from hdbench.editing.state import SceneState
from hdbench.errors import HdbenchError
from hdbench.schema.editing import MOST_REGIONS, Edit, Operation, Paint, Relabel, Restyle, Stamp
from hdbench.web.guard import RequestRefused
from hdbench.workflows.edit import Studio


@dataclass
class OpenSession:
    """A session and who is at it: requests of several tabs take turns."""

    session: Session
    turn: threading.Lock = field(default_factory=threading.Lock)
    #: The newest edit that was tried while it was drawn; older ones are not worth their image.
    newest_try: int = 0


class Desk:
    """All that the page asks for, without the web in it."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._open: dict[str, OpenSession] = {}
        self._opening = threading.Lock()
        self._ahead = ThreadPoolExecutor(1)
        self._names = {entry.id: entry.name for entry in studio.bench.space.classes}

    # -- sessions ----------------------------------------------------------------------------------

    def opened(self, open_it: Callable[[], Session]) -> str:
        """Open a session, or take the one that is open already; return its name."""
        with self._opening:
            session = open_it()
            name = session.path.name.removesuffix(SESSION_SUFFIX)
            if not self._open:
                self.studio.renderer.tune(session.first)
            self._open.setdefault(name, OpenSession(session))
            return name

    def at(self, name: str) -> OpenSession:
        """Return an open session; one of an earlier server is opened again.

        Raises:
            RequestRefused: there is no such session.
        """
        if name in self._open:
            return self._open[name]
        # A server that was started again knows the files of the sessions that were open.
        files = self.studio.folder.glob(f"*{SESSION_SUFFIX}")
        paths = {path.name.removesuffix(SESSION_SUFFIX): path for path in files}
        if name not in paths:
            raise RequestRefused(f"no session '{name[:80]}'; open a scene first", 404)
        path = paths[name]
        self.opened(lambda: self.studio.load(path))
        return self._open[name]

    # -- what the page is told ---------------------------------------------------------------------

    def start(self, session: str) -> dict[str, Any]:
        """Return what does not change: classes, scenes, shapes, the method."""
        studio, context = self.studio, self.studio.context
        height, width = studio.size
        own = studio.renderer.styles
        return {
            "method": studio.method.title,
            "benchmark": studio.bench.benchmark.title,
            "size": [width, height],
            "session": session,
            "previews": studio.renderer.previews_differ,
            "scenes": list(studio.scenes),
            "classes": [
                {
                    "id": entry.id,
                    "name": entry.name,
                    "colour": list(entry.colour),
                    "thing": entry.id in context.ids.things,
                    "styles": 0 if own is None else len(own.centres.by_id[entry.id].centres),
                }
                for entry in studio.bench.space.classes
            ],
            "shapes": [
                {
                    "name": shape.name,
                    "label": shape.label,
                    "width": shape.mask.shape[1],
                    "height": shape.mask.shape[0],
                }
                for shape in context.shapes
            ],
        }

    def state(self, name: str) -> dict[str, Any]:
        """Return a session as it is now: its edits, its regions."""
        at = self.at(name)
        with at.turn:
            session = at.session
            state = session.state
            edits = [self.words(edit) for edit in session.edits]
            height, width = state.size
            return {
                "session": name,
                "scene": state.name,
                "revision": session.revision,
                "size": [width, height],
                "edits": edits,
                "undone": session.undone,
                "regions": self._regions(state),
                "photograph": session.base.scene.image is not None,
            }

    def revision(self, name: str) -> dict[str, int]:
        """Return how many operations a session has seen, for tabs that ask whether it changed."""
        return {"revision": self.at(name).session.revision}

    def _regions(self, state: SceneState) -> list[dict[str, Any]]:
        chosen = self.studio.renderer.chosen_styles(state)
        numbers = np.zeros(MOST_REGIONS, np.int32)
        numbers[list(state.by_region)] = np.arange(1, len(state.by_region) + 1)
        boxes = ndimage.find_objects(numbers[state.regions])
        regions = []
        for (region, entry), box in zip(state.by_region.items(), boxes, strict=True):
            style = chosen.get(region)
            regions.append(
                {
                    "id": region,
                    "label": entry.label,
                    "pixels": entry.pixels,
                    "box": [box[1].start, box[0].start, box[1].stop, box[0].stop],
                    "style": style if isinstance(style, int) else None,
                    "encoded": isinstance(style, list),
                    "given": region in state.given_styles,
                }
            )
        return regions

    def words(self, edit: Edit) -> str:
        """Return an edit in words, for the list of edits."""
        match edit:
            case Paint():
                return f"{edit.tool} {self._names.get(edit.label, edit.label)}"
            case Stamp():
                shape = self.studio.context.shapes[edit.shape]
                return f"stamp {self._names.get(shape.label, shape.label)}"
            case Relabel():
                return f"region {edit.region} to {self._names.get(edit.label, edit.label)}"
            case Restyle():
                style = edit.style
                text = "its own" if style is None else "encoded"
                if isinstance(style, int):
                    text = str(style + 1)
                return f"style {text} for region {edit.region}"
            case _:
                return f"{edit.do} region {edit.region}"

    # -- what the page does ------------------------------------------------------------------------

    def carry_out(self, name: str, operation: Operation) -> dict[str, Any]:
        """Carry out an operation of a session; return its state.

        Raises:
            RequestRefused: it does not fit the scene (422), or the session has moved on (409).
        """
        at = self.at(name)
        with at.turn:
            try:
                at.session.carry_out(operation)
            except SessionConflict as error:
                raise RequestRefused(str(error), 409) from None
            state, revision = at.session.state, at.session.revision
        # The page will ask for it; until then the answer is on its way.
        self._ahead.submit(self.studio.renderer.image, state, "preview", self.still(name, revision))
        return self.state(name)

    def state_at(self, name: str, revision: int) -> SceneState:
        """Return the scene at a revision, which must be the present one; RequestRefused if not."""
        at = self.at(name)
        with at.turn:
            if at.session.revision != revision:
                raise RequestRefused(f"revision {revision} is past; another image is wanted", 409)
            return at.session.state

    def still(self, name: str, revision: int) -> Callable[[], bool]:
        """Return what says whether the image of a revision is still wanted."""
        at = self.at(name)
        return lambda: at.session.revision == revision

    def tried(self, name: str, revision: int, edit: Edit) -> tuple[SceneState, Callable[[], bool]]:
        """Return the scene with an edit that is being drawn, and whether it is still the newest."""
        at = self.at(name)
        with at.turn:
            if at.session.revision != revision:
                raise RequestRefused(f"revision {revision} is past", 409)
            at.newest_try += 1
            mine = at.newest_try
            return at.session.tried(edit), lambda: at.newest_try == mine

    def style_crop(self, name: str, revision: int, region: int, number: int) -> Tensor:
        """Return the window of a region in one of its class's styles, uint8 3 x h x w."""
        state = self.state_at(name, revision)
        box = box_of(state, region)
        edit = Restyle(region=region, style=number)
        restyled = self.at(name).session.tried(edit)
        return self.studio.renderer.crop(restyled, box)

    def encode(self, content: bytes) -> list[float]:
        """Return the style that the encoder sees in an uploaded picture: its mean over it."""
        try:
            image = read_upload(content, "the picture")
        except HdbenchError as error:
            raise RequestRefused(str(error), 415) from None
        [style] = self.studio.renderer.encoded(image).values()
        return style

    def shape_icon(self, index: int) -> Image.Image:
        """Return the silhouette of a shape in its class's colour, on nothing."""
        shapes = list(self.studio.context.shapes)
        if not 0 <= index < len(shapes):
            raise RequestRefused(f"no shape {index}; there are {len(shapes)}", 404)
        shape = shapes[index]
        colours = {entry.id: entry.colour for entry in self.studio.bench.space.classes}
        pixels = np.zeros((*shape.mask.shape, 4), np.uint8)
        pixels[shape.mask] = (*colours[shape.label], 255)
        return Image.fromarray(pixels, "RGBA")


def maps_picture(state: SceneState) -> Image.Image:
    """Return the maps of a scene as one picture: label, then the high and low byte of regions."""
    regions = state.regions.astype(np.int32)
    planes = [state.label, (regions >> 8).astype(np.uint8), (regions & 255).astype(np.uint8)]
    return Image.fromarray(np.ascontiguousarray(np.stack(planes, axis=-1)))
