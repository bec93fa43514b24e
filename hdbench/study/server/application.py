"""The application of a study's server: the participants' page and its requests, the researcher's.

Participants' paths are open to everybody; each request is answered for the session whose secret
the browser sends. What a participant can receive is the page, one packet, images, and sentences:
nothing names a method, a scene, or a file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from hdbench.errors import DataError
from hdbench.study.answers.database import attempts, database_path, reading, timestamp
from hdbench.study.packet.files import WEB_FOLDER, Packet, public_packets
from hdbench.study.packet.page import page_of_server, page_policy
from hdbench.study.packet.rendering import public_study_id
from hdbench.study.server.assignment import (
    Assignment,
    Browser,
    Seat,
    completion_codes,
    passes_of,
)
from hdbench.study.server.judgments import (
    Outcome,
    PostedJudgment,
    PostedReason,
    accept,
    screen_out,
)
from hdbench.study.server.progress import progress_of
from hdbench.study.server.writer import Writer
from hdbench.text import template
from hdbench.web.guard import Guard, RequestRefused
from hdbench.web.requests import read_record

RESEARCHER = "/researcher"
#: Where Prolific's participants return to, with a code.
RETURN_LINK = "https://app.prolific.com/submissions/complete?cc="
_COOKIE_S = 30 * 24 * 3600
_MOST_BYTES = 16_384
_PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Settings:
    """How a study is served."""

    #: What the researcher's page asks for.
    token: str
    #: How long a session holds its packet after its last sign of life.
    lease: timedelta = timedelta(minutes=30)
    #: Whether answers are those of a rehearsal.
    simulated: bool = False
    #: Whether browsers reach the server by https, so that secrets never travel otherwise.
    secure: bool = False
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


def application(packet: Packet, connection: sqlite3.Connection, settings: Settings) -> ASGIApp:
    """Return the application that serves a packet and writes to its database.

    Raises:
        DataError: the packet lacks files, or its page is of a version without a server.
    """
    server = _Server(packet, connection, settings)
    routes = [
        Route("/", server.page),
        Route(f"/{_PAGE_FILE}", server.page),
        Route("/images/{name}", server.image),
        Route("/api/session", server.session, methods=["POST"]),
        Route("/api/judgment", server.judgment, methods=["POST"]),
        Route("/api/screen", server.screen, methods=["POST"]),
        Route(RESEARCHER, server.researcher),
    ]
    return Guard(
        Router(routes),
        settings.token,
        lambda _: _MOST_BYTES,
        policy="default-src 'none'; frame-ancestors 'none'",
        is_open=lambda path: not path.startswith(RESEARCHER),
    )


class _Server:
    """The endpoints; their state is in the database alone."""

    def __init__(self, packet: Packet, connection: sqlite3.Connection, settings: Settings) -> None:
        self.packet, self.settings = packet, settings
        self.path = database_path(packet.folder, simulated=settings.simulated)
        self.writer = Writer(connection, self.path)
        self.assignment = Assignment(packet.study, passes_of(packet))
        # Browsers keep cookies by host, not by port: two studies on one host have two.
        self.cookie = f"hdbench-session-{public_study_id(packet.study)}"
        self.complete_code, self.screened_code = completion_codes(packet.study)
        web = packet.folder / WEB_FOLDER
        self.public = {
            content.packet: content.model_dump(mode="json", by_alias=True)
            for content in public_packets(packet.folder).values()
        }
        if missing := set(packet.study.packet_ids) - set(self.public):
            raise DataError(
                f"{web / 'packets'}: no {min(missing)}.json; "
                f"'hdbench study verify {packet.folder}' lists what is missing"
            )
        self.images = {path.name: path for path in (web / "images").glob("*.png")}
        self.html = page_of_server(web / _PAGE_FILE)
        self.policy = _framed_by_nobody(self.html)

    def page(self, _: Request) -> Response:
        headers = {"content-security-policy": self.policy}
        return Response(self.html, media_type="text/html", headers=headers)

    async def image(self, request: Request) -> Response:
        path = self.images.get(request.path_params["name"])
        if path is None:
            raise RequestRefused("no such file", 404)
        content = await run_in_threadpool(path.read_bytes)
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(content, media_type="image/png", headers=headers)

    async def session(self, request: Request) -> Response:
        browser = await read_record(request, TypeAdapter(Browser))
        at, lease_from = self._times()
        secret = self._secret(request)

        def work(connection: sqlite3.Connection) -> tuple[Seat, list[Any]] | None:
            seat = self.assignment.enrol(connection, browser, secret, at, lease_from)
            return None if seat is None else (seat, attempts(connection, seat.session))

        found = await self.writer.do(work)
        if found is None:
            return JSONResponse({"end": self._end("full", browser.entry.PROLIFIC_PID is not None)})
        seat, rows = found
        answer = JSONResponse(
            {
                "session": seat.session,
                "page": seat.page,
                "packet": self.public[self.packet.study.packet_ids[seat.packet]],
                "rows": [row.model_dump(mode="json", exclude={"simulated"}) for row in rows],
                "end": self._end(seat.outcome, seat.venue),
            }
        )
        if seat.secret is not None:
            answer.set_cookie(
                self.cookie,
                seat.secret,
                max_age=_COOKIE_S,
                httponly=True,
                samesite="strict",
                secure=self.settings.secure,
            )
        return answer

    async def judgment(self, request: Request) -> Response:
        posted = await read_record(request, TypeAdapter(PostedJudgment))
        simulated = self.settings.simulated
        return await self._change(
            request,
            lambda connection, secret, at: accept(
                connection, self.packet, secret, posted, at, simulated=simulated
            ),
        )

    async def screen(self, request: Request) -> Response:
        posted = await read_record(request, TypeAdapter(PostedReason))
        return await self._change(
            request,
            lambda connection, secret, at: screen_out(connection, self.packet, secret, posted, at),
        )

    async def _change(
        self, request: Request, work: Callable[[sqlite3.Connection, str, str], Outcome]
    ) -> Response:
        at, secret = self._times()[0], self._secret(request)
        done = await self.writer.do(lambda connection: work(connection, secret, at))
        return JSONResponse({"end": self._end(done.outcome, done.venue)})

    async def researcher(self, _: Request) -> Response:
        html = await run_in_threadpool(self._progress_page)
        headers = {"content-security-policy": _framed_by_nobody(html)}
        return Response(html, media_type="text/html", headers=headers)

    def _progress_page(self) -> str:
        at, lease_from = self._times()
        simulated = self.settings.simulated
        with reading(self.path, self.packet.study) as connection:
            progress = progress_of(
                connection, self.path, self.packet, lease_from, simulated=simulated
            )
        return template(__file__, "researcher.html").render(
            study=self.packet.study,
            progress=progress,
            at=at,
            simulated=simulated,
            lease=round(self.settings.lease.total_seconds() / 60),
        )

    def _secret(self, request: Request) -> str:
        return request.cookies.get(self.cookie, "")

    def _times(self) -> tuple[str, str]:
        """Return the time, and the one since which a session must have been seen."""
        moment = self.settings.clock()
        return timestamp(moment), timestamp(moment - self.settings.lease)

    def _end(self, outcome: str | None, venue: bool) -> dict[str, str | None] | None:
        """Return what a page is told of the end of a session; codes are for Prolific's people."""
        if outcome is None:
            return None
        code = self.complete_code if outcome == "complete" else self.screened_code
        told = {"code": code, "link": RETURN_LINK + code} if venue else {}
        return {"outcome": outcome, "code": None, "link": None, **told}


def _framed_by_nobody(html: str) -> str:
    return page_policy(html, form_action="'none'") + "; frame-ancestors 'none'"
