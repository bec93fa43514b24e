"""The guard before every request of a server: host, token, origin, size; and errors as answers.

A server on this machine alone answers every request that names it as ``localhost``, ``127.0.0.1``
or ``::1``: a page of another site that has its own name point here is refused. A server that others
can reach asks for its token, which the first link carries and a cookie keeps.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hdbench.errors import HdbenchError, StorageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Followed by a digest of the token: browsers send the cookies of all servers of one host.
_COOKIE = "hdbench-token-"

#: Pages load scripts, styles and images from their own server alone, and nobody frames them.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class RequestRefused(HdbenchError):
    """A request that cannot be carried out; the answer has the status and says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return host in LOOPBACK or host.startswith("127.")


def new_token() -> str:
    """Return a random token, 128 bits in hexadecimal."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Guard:
    """An application behind the guard; what it wraps sees no request that is refused."""

    #: A ``Router``; a ``Starlette`` would answer errors itself, without saying what is wrong.
    app: ASGIApp
    #: What a request must carry; None: only requests to this machine's own names are answered.
    token: str | None
    #: The most bytes of a request's body, by its path.
    most_bytes: Callable[[str], int]
    policy: str = POLICY
    #: Whether a path is answered without the token.
    is_open: Callable[[str], bool] = field(default=lambda _: False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with an error if it is refused or fails; the server stays up."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", self.policy)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            early = self._before(scope)
            if early is None:
                await self.app(scope, self._limited(scope, receive), guarded)
            else:
                await early(scope, receive, guarded)
        except HdbenchError as error:
            if begun:
                raise
            await refusal(error)(scope, receive, guarded)
        except Exception:  # one request's failure is not the server's
            if begun:
                raise
            traceback.print_exc(file=sys.stderr)
            failed = RequestRefused("hdbench failed on this request; its terminal shows why", 500)
            await refusal(failed)(scope, receive, guarded)

    def _before(self, scope: Scope) -> Response | None:
        """Return an answer that ends the request here; None lets it pass.

        Raises:
            RequestRefused: host, origin, token or size are not those that are allowed.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.token is None and _name(host) not in LOOPBACK:
            raise RequestRefused(
                f"host '{host[:80]}': this server answers on this machine alone; expected "
                "127.0.0.1 or localhost",
                403,
            )
        if scope["method"] not in ("GET", "HEAD"):
            _require_own_page(headers, host)
        if int(headers.get("content-length") or 0) > self.most_bytes(scope["path"]):
            raise self._too_large(scope["path"])
        if self.token is None or self.is_open(scope["path"]):
            return None
        return self._admit(scope, headers, self.token)

    def _admit(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and scope["method"] == "GET" and _equal(given, token):
            rest = urlencode([(key, value) for key, value in query if key != "token"])
            # A path of two slashes would lead to another host.
            path = "/" + scope["path"].lstrip("/")
            answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            answer.set_cookie(_cookie_name(token), token, httponly=True, samesite="strict")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _equal(_cookie(headers, token), token) or _equal(bearer, token):
            return None
        raise RequestRefused(
            "no valid token; expected the link that hdbench printed when it started", 401
        )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Return ``receive``, which refuses a body that turns out to be too large."""
        left = self.most_bytes(scope["path"])

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large(scope["path"])
            return message

        return limited

    def _too_large(self, path: str) -> RequestRefused:
        most = self.most_bytes(path)
        return RequestRefused(f"the request is larger than {most:,} bytes, the most for it", 413)


def refusal(error: HdbenchError) -> JSONResponse:
    """Return the answer that says what is wrong."""
    status = 507 if isinstance(error, StorageError) else 400
    if isinstance(error, RequestRefused):
        status = error.status
    return JSONResponse({"error": str(error)}, status)


def _require_own_page(headers: Headers, host: str) -> None:
    """Raise RequestRefused if another site's page asks for a change."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise RequestRefused(
            f"origin '{origin[:80]}': only this server's own page may do this", 403
        )
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestRefused("a page of another site asked; only this server's own may", 403)


def _name(host: str) -> str:
    """Return a host header without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie_name(token: str) -> str:
    return _COOKIE + hashlib.sha256(token.encode()).hexdigest()[:8]


def _cookie(headers: Headers, token: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(token))
    except CookieError:
        return ""
    return "" if found is None else found.value


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
