"""The server of the editor: what each address answers."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from hdbench.data.edited import NAME
from hdbench.data.sheets import png_bytes, to_pil
from hdbench.editor.desk import Desk, maps_picture
from hdbench.errors import DataError, UsageError
from hdbench.schema.editing import Edit, Operation
from hdbench.schema.record import Record
from hdbench.web.guard import Guard, RequestRefused
from hdbench.web.requests import read_body, read_record
from hdbench.web.serving import page_files

_PAGES = Path(__file__).parent / "pages"
#: The most bytes of a picture or a session's file, and of anything else.
_UPLOAD, _REQUEST = 20_000_000, 400_000
_UPLOADS = re.compile(r"/api/(photograph|session-file|sessions/[^/]+/encode)")


class _Open(Record):
    scene: str


class _Try(Record):
    revision: int
    edit: Edit


class _Export(Record):
    #: Default: the scene's name and ``-edited``.
    name: str | None = Field(None, pattern=NAME)
    title: str = Field("", max_length=300)


_OPEN, _OPERATION = TypeAdapter(_Open), TypeAdapter(Operation)
_TRY, _EXPORT = TypeAdapter(_Try), TypeAdapter(_Export)


def editor_app(desk: Desk, first: str, edited: Path, token: str | None) -> ASGIApp:
    """Return the application: the page, and the addresses that it asks.

    Args:
        desk: the sessions.
        first: the name of the session that is shown at first.
        edited: the folder that scenes are exported into.
        token: what requests must carry; None: only this machine's own names are answered.
    """
    served = _Editor(desk, first, edited)
    page = page_files(_PAGES)
    at = "/api/sessions/{session}"
    routes = [
        Route("/", page),
        Route("/{name:str}", page),
        Route("/api/start", served.start),
        Route("/api/open", served.open, methods=["POST"]),
        Route("/api/photograph", served.photograph, methods=["POST"]),
        Route("/api/session-file", served.session_file, methods=["POST"]),
        Route("/api/shapes/{index:int}.png", served.shape),
        Route(at, served.state),
        Route(f"{at}/revision", served.revision),
        Route(f"{at}/operations", served.operation, methods=["POST"]),
        Route(f"{at}/try", served.attempt, methods=["POST"]),
        Route(f"{at}/maps.png", served.maps),
        Route(f"{at}/image.png", served.image),
        Route(f"{at}/before.png", served.before),
        Route(f"{at}/photograph.png", served.original),
        Route(f"{at}/styles/{{region:int}}/{{number:int}}.png", served.style),
        Route(f"{at}/encode", served.encode, methods=["POST"]),
        Route(f"{at}/file", served.file),
        Route(f"{at}/export", served.export, methods=["POST"]),
    ]
    most = lambda path: _UPLOAD if _UPLOADS.fullmatch(path) else _REQUEST  # noqa: E731
    return Guard(Router(routes), token, most)


class _Editor:
    """One endpoint per address; those that compute run beside the loop that answers."""

    def __init__(self, desk: Desk, first: str, edited: Path) -> None:
        self._desk, self._first, self._edited = desk, first, edited

    def start(self, request: Request) -> Response:
        return JSONResponse(self._desk.start(self._first))

    async def open(self, request: Request) -> Response:
        asked = await read_record(request, _OPEN)
        return await run_in_threadpool(
            self._opened, lambda: self._desk.studio.open_scene(asked.scene)
        )

    async def photograph(self, request: Request) -> Response:
        content = await read_body(request)
        return await run_in_threadpool(
            self._opened, lambda: self._desk.studio.open_photograph(content, "the photograph")
        )

    async def session_file(self, request: Request) -> Response:
        content = await read_body(request)
        return await run_in_threadpool(
            self._opened, lambda: self._desk.studio.open_file(content, "the file")
        )

    def _opened(self, open_it: Any) -> Response:
        try:
            name = self._desk.opened(open_it)
        except (DataError, UsageError) as error:
            raise RequestRefused(str(error), 422) from None
        return JSONResponse(self._desk.state(name))

    def state(self, request: Request) -> Response:
        return JSONResponse(self._desk.state(_session(request)))

    def revision(self, request: Request) -> Response:
        return JSONResponse(self._desk.revision(_session(request)))

    async def operation(self, request: Request) -> Response:
        asked = await read_record(request, _OPERATION)
        name = _session(request)
        return JSONResponse(await run_in_threadpool(self._desk.carry_out, name, asked))

    async def attempt(self, request: Request) -> Response:
        asked = await read_record(request, _TRY)
        return await run_in_threadpool(self._attempted, _session(request), asked)

    def _attempted(self, name: str, asked: _Try) -> Response:
        state, wanted = self._desk.tried(name, asked.revision, asked.edit)
        pixels = self._desk.studio.renderer.image(state, "preview", wanted)
        if pixels is None:
            raise RequestRefused("a newer stroke is being drawn", 409)
        return _png(_quick_png(to_pil(pixels)))

    def maps(self, request: Request) -> Response:
        revision = _whole(request, "revision")
        state = self._desk.state_at(_session(request), revision)
        return _png(_quick_png(maps_picture(state)))

    def image(self, request: Request) -> Response:
        name, revision = _session(request), _whole(request, "revision")
        quality: Literal["exact", "preview"] = "exact"
        if request.query_params.get("quality") == "preview":
            quality = "preview"
        state = self._desk.state_at(name, revision)
        wanted = self._desk.still(name, revision)
        pixels = self._desk.studio.renderer.image(state, quality, wanted)
        if pixels is None:
            raise RequestRefused("the scene has changed; another image is wanted", 409)
        return _png(png_bytes(pixels) if quality == "exact" else _quick_png(to_pil(pixels)))

    def before(self, request: Request) -> Response:
        first = self._desk.at(_session(request)).session.first
        pixels = self._desk.studio.renderer.image(first)
        assert pixels is not None
        return _png(png_bytes(pixels))

    def original(self, request: Request) -> Response:
        photograph = self._desk.at(_session(request)).session.base.scene.image
        if photograph is None:
            raise RequestRefused("this scene has no photograph", 404)
        return _png(_quick_png(to_pil(photograph)))

    def style(self, request: Request) -> Response:
        region, number = request.path_params["region"], request.path_params["number"]
        revision = _whole(request, "revision")
        pixels = self._desk.style_crop(_session(request), revision, region, number)
        return _png(_quick_png(to_pil(pixels)))

    def shape(self, request: Request) -> Response:
        return _png(_quick_png(self._desk.shape_icon(request.path_params["index"])))

    async def encode(self, request: Request) -> Response:
        content = await read_body(request)
        self._desk.at(_session(request))
        return JSONResponse({"style": await run_in_threadpool(self._desk.encode, content)})

    def file(self, request: Request) -> Response:
        session = self._desk.at(_session(request)).session
        return Response(
            session.path.read_bytes(),
            media_type="application/x-ndjson",
            headers={"content-disposition": f'attachment; filename="{_safe(session.path.name)}"'},
        )

    async def export(self, request: Request) -> Response:
        asked = await read_record(request, _EXPORT)
        return await run_in_threadpool(self._exported, _session(request), asked)

    def _exported(self, name: str, asked: _Export) -> Response:
        at, studio = self._desk.at(name), self._desk.studio
        with at.turn:
            chosen = asked.name or _safe(f"{name}-edited")
            image = studio.export(at.session, self._edited, chosen, asked.title)
        words = f"--method {studio.method.name}"
        if studio.seed:
            words += f" --seed {studio.seed}"
        command = f"hdbench synthesize {words} --edited {self._edited}"
        return JSONResponse({"folder": str(self._edited), "image": str(image), "command": command})


def _session(request: Request) -> str:
    return request.path_params["session"]


def _whole(request: Request, key: str) -> int:
    text = request.query_params.get(key, "")
    if not re.fullmatch(r"\d{1,9}", text):
        raise RequestRefused(f"{key} = '{text[:20]}'; expected a whole number", 422)
    return int(text)


def _safe(name: str) -> str:
    """Return a name with nothing in it that means something in a path or a header."""
    return re.sub(r"[^0-9A-Za-z._-]+", "-", name).strip("-.") or "scene"


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png")


def _quick_png(picture: Image.Image) -> bytes:
    """Return a PNG that is written fast, for what is shown for a moment."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
