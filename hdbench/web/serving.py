"""A server started and stopped: its address first, then its requests until ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from hdbench.errors import UsageError
from hdbench.web.guard import RequestRefused, is_loopback

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what a browser must know to be answered."""

    listener: socket.socket
    host: str
    port: int
    #: None: on this machine alone.
    token: str | None

    @property
    def link(self) -> str:
        """The link to its first page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        query = "" if self.token is None else f"?token={quote(self.token)}"
        return f"http://{host}:{self.port}/{query}"


def listen(host: str, port: int, make_token: Callable[[], str]) -> Address:
    """Return an address that is bound; ``port`` 0 takes any that is free.

    Raises:
        UsageError: the address is not this machine's, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol, else asyncio leaves TCP_NODELAY off, and answers wait 40 ms for their ends.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who follows the link at once waits, and is not refused
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{host} port {port}: cannot be listened on ({reason}); expected an address of this "
            "machine and a port that no other program uses.\nNext: another --port; 0 takes a free "
            "one"
        ) from None
    token = None if is_loopback(host) else make_token()
    return Address(listener, host, listener.getsockname()[1], token)


def serve(app: ASGIApp, address: Address, title: str, open_browser: bool) -> None:
    """Answer requests until ctrl-C, which raises KeyboardInterrupt once all are answered."""
    import uvicorn

    print(f"{title}: {address.link}", flush=True)
    print("Stop it with ctrl-C.", file=sys.stderr, flush=True)
    if open_browser:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(address.link)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=5, lifespan="off"
    )
    with address.listener:
        uvicorn.Server(config).run(sockets=[address.listener])


def require_web() -> None:
    """Raise UsageError if what servers need is not installed."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)}: not installed; servers need the extra 'web'.\n"
            "Next: pip install 'hdbench[web]'"
        )


def page_files(folder: Path) -> Callable[[Request], Response]:
    """Return the endpoint of a page's files; only those that lie in the folder now are served.

    ``{name}`` of the route is the file's; ``index.html`` where there is none.
    """
    files = {path.name: path for path in folder.iterdir() if path.suffix in _TYPES}

    def file(request: Request) -> Response:
        path = files.get(request.path_params.get("name", "index.html"))
        if path is None:
            raise RequestRefused("no such file", 404)
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

    return file
