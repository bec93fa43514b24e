"""A server that answers as Prolific's API is documented to, and keeps what it was asked."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

TOKEN = "prolific-token"
PAGE = 2


@dataclass
class Api:
    """The account: its studies, submissions and payments."""

    url: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    studies: list[dict[str, Any]] = field(default_factory=list)
    submissions: list[dict[str, Any]] = field(default_factory=list)
    payments: dict[str, str] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)
    #: Calls such as ``POST /path`` in which this pattern is found are carried out, and the
    #: connection is cut before the answer.
    cut: str = ""

    def posts(self) -> list[tuple[str, Any]]:
        return [(path, content) for method, path, content in self.calls if method == "POST"]

    def answer(self, method: str, path: str, query: dict[str, str], content: Any) -> Any:
        match method, path.strip("/").split("/")[2:]:
            case "GET", ["studies"]:
                return listed(path, self.studies, query)
            case "POST", ["studies"]:
                study = {**content, "id": f"{len(self.studies) + 1:024x}", "status": "UNPUBLISHED"}
                self.studies.append(study)
                return 201, study
            case "GET", ["studies", name]:
                return 200, next(one for one in self.studies if one["id"] == name)
            case "POST", ["studies", name, "transition"]:
                study = next(one for one in self.studies if one["id"] == name)
                if content != {"action": "PUBLISH"} or study["status"] != "UNPUBLISHED":
                    return 400, {"error": {"detail": "cannot be published"}}
                study["status"] = "ACTIVE"
                return 200, study
            case "GET", ["submissions"]:
                own = [one for one in self.submissions if one["study_id"] == query["study"]]
                return listed(path, own, query)
            case "POST", ["submissions", "bulk-approve"]:
                for one in self.submissions:
                    if one["id"] in content["submission_ids"]:
                        one["status"] = "APPROVED"
                return 200, {"message": "The request to bulk approve has been made successfully."}
            case "POST", ["submissions", "bonus-payments"]:
                known = {one["id"] for one in self.submissions}
                lines = content["csv_bonuses"].splitlines()
                if {line.split(",")[0] for line in lines} - known:
                    return 400, {"error": {"detail": "unknown ids"}}
                name = f"{len(self.payments) + 1:024x}"
                self.payments[name] = content["csv_bonuses"]
                return 201, {"id": name, "study": content["study_id"], "total_amount": 1}
            case "POST", ["bulk-bonus-payments", name, "pay"]:
                self.paid += self.payments[name].splitlines()
                return 202, None
        return 404, {"error": {"detail": "Not found"}}


def listed(path: str, entries: list[dict[str, Any]], query: dict[str, str]) -> Any:
    """A page of a list, with a link to the next one."""
    first = (int(query.get("page", 1)) - 1) * PAGE
    more = {**query, "page": first // PAGE + 2} if first + PAGE < len(entries) else None
    following = more and f"https://api.prolific.com{path}?{urlencode(more)}"
    return 200, {
        "results": entries[first : first + PAGE],
        "_links": {"next": {"href": following}},
        "meta": {"count": len(entries)},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        api: Api = self.server.api  # pyright: ignore[reportAttributeAccessIssue]
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        content = json.loads(body) if body else None
        api.calls.append((self.command, parts.path, content))
        if self.headers.get("authorization") != f"Token {TOKEN}":
            status, said = 401, {"error": {"detail": "Invalid token."}}
        else:
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, said = api.answer(self.command, parts.path, query, content)
        if api.cut and re.search(api.cut, f"{self.command} {parts.path}"):
            self.close_connection = True
            return
        text = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _any

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def prolific_api() -> Iterator[Api]:
    """An empty account on this machine."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    api = Api(f"http://127.0.0.1:{http.server_address[1]}")
    http.api = api  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
