"""Who is answered by a server, what is refused, and that the server stays up."""

from __future__ import annotations

import socket

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router
from starlette.testclient import TestClient

from hdbench.errors import StorageError, UsageError
from hdbench.web.guard import Guard, is_loopback, new_token
from hdbench.web.requests import read_body
from hdbench.web.serving import listen

MOST = 1000


async def size(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await read_body(request))})


def fails(request: Request) -> JSONResponse:
    match request.path_params["how"]:
        case "storage":
            raise StorageError("disk full")
        case "usage":
            raise UsageError("no such scene")
        case _:
            raise RuntimeError("private words")


def client(token: str | None = None, base: str = "http://127.0.0.1:8000") -> TestClient:
    routes = [
        Route("/", lambda _: JSONResponse({"page": 1})),
        Route("/size", size, methods=["POST"]),
        Route("/fails/{how}", fails),
    ]
    guard = Guard(Router(routes), token, lambda _: MOST)
    return TestClient(guard, base_url=base, follow_redirects=False)


def test_a_server_of_this_machine_answers_to_its_own_names_alone() -> None:
    for base in ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"):
        assert client(base=base).get("/").status_code == 200
    for base in ("http://evil.example", "http://127.0.0.1.evil.example"):
        assert client(base=base).get("/").status_code == 403
    assert client().get("/", headers={"host": "[::bad"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str]) -> None:
    assert client().post("/size", content=b"12", headers=headers).status_code == 403
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client().post("/size", content=b"12", headers=own).json() == {"bytes": 2}


def test_too_large_a_body_is_refused_stated_or_not() -> None:
    assert client().post("/size", content=b"x" * MOST).json() == {"bytes": MOST}
    for body in (b"x" * (MOST + 1), (part for part in (b"x" * MOST, b"x"))):
        answer = client().post("/size", content=body)
        assert answer.status_code == 413
        assert "1,000" in answer.json()["error"]
    huge = {"content-length": str(10**9)}
    assert client().post("/size", content=b"x", headers=huge).status_code == 413


def test_an_error_of_one_request_is_an_answer_and_names_no_internals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = client()
    assert served.get("/fails/storage").status_code == 507
    assert served.get("/fails/usage").json() == {"error": "no such scene"}
    answer = served.get("/fails/otherwise")
    assert answer.status_code == 500
    assert "private words" not in answer.text
    assert "private words" in capsys.readouterr().err
    assert served.get("/").status_code == 200


def test_every_answer_forbids_what_no_page_needs() -> None:
    for path in ("/", "/nowhere", "/fails/usage"):
        headers = client().get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_a_server_for_others_asks_for_its_token() -> None:
    token, base = new_token(), "http://lab.example:8000"
    outside = client(token, base)
    for path, cookie in (("/", ""), (f"/?token={token[:-1]}", ""), ("/", "hdbench-token=x")):
        refused = client(token, base).get(path, headers={"cookie": cookie})
        assert refused.status_code == 401
    answer = outside.get("/", params={"token": token, "scene": "a"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?scene=a"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert outside.get("/").status_code == 200
    beside = client(new_token(), base)  # another server of the same host
    beside.cookies = outside.cookies
    assert beside.get("/").status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert client(token, base).get("/", headers=bearer).status_code == 200
    away = client(token, base).get(f"{base}//evil.example/", params={"token": token})
    assert away.headers["location"].startswith("/evil")


def test_an_address_is_free_and_ones_own_or_refused() -> None:
    first = listen("127.0.0.1", 0, new_token)
    assert first.listener.proto == socket.IPPROTO_TCP  # what asyncio wants for TCP_NODELAY
    first.listener.listen()
    assert first.token is None
    with pytest.raises(UsageError, match=str(first.port)):
        listen("127.0.0.1", first.port, new_token)
    for host, port in (("203.0.113.7", 0), ("127.0.0.1", 70_000)):
        with pytest.raises(UsageError, match=host):
            listen(host, port, new_token)
    first.listener.close()
    everywhere = listen("0.0.0.0", 0, new_token)
    everywhere.listener.close()
    assert everywhere.token is not None
    assert everywhere.token in everywhere.link
    assert [is_loopback(host) for host in ("127.0.0.2", "::1", "0.0.0.0")] == [True, True, False]
