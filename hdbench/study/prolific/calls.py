"""Calls of Prolific's API: shown before they are made, and recorded in the packet's folder.

Reading calls (GET) are made always; changing calls (POST) are only shown in a dry run. The record,
``results/prolific.jsonl``, has a line before each changing call and one with its answer, so that a
call whose answer was lost is known. Prolific's names for people and their submissions are in it
only as keyed hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.schema.packet import StudyRecord
from hdbench.storage import append_line, read_bytes
from hdbench.study.answers.database import now
from hdbench.study.packet.files import RESULTS_FOLDER
from hdbench.web.guard import is_loopback

API = "https://api.prolific.com"
TOKEN_VARIABLE = "PROLIFIC_TOKEN"
RECORD_FILE = "prolific.jsonl"
_TIMEOUT_S = 60
#: Pages of a list are followed up to here.
_MOST_PAGES = 1000


class Refused(HdbenchError):
    """Prolific refused a call, so that nothing was carried out."""


@dataclass
class Prolific:
    """Prolific's API for one packet."""

    study: StudyRecord
    record: Path
    token: str
    address: str = API
    #: Whether changing calls are only shown.
    dry_run: bool = False
    #: Shows a line to the researcher.
    show: Callable[[str], None] = field(default=print)

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of a reading call."""
        return self._send("GET", path, None, query)

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page by page.

        Raises:
            DataError: the answer is no list.
        """
        for _ in range(_MOST_PAGES):
            answer = self.get(path, **query)
            if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
                raise DataError(f"{self.address}{path}: expected an object with a list 'results'")
            yield from answer["results"]
            following = ((answer.get("_links") or {}).get("next") or {}).get("href")
            if not following:
                return
            # Its path and query alone: the token goes to no other host.
            parts = urlsplit(str(following))
            path, query = parts.path, dict(parse_qsl(parts.query))

    def post(self, path: str, content: Mapping[str, Any], kept: Mapping[str, Any]) -> Any:
        """Make a changing call and return its JSON; in a dry run show it and return None.

        ``kept`` is what the record keeps of the content, without names of people.

        Raises:
            HdbenchError: Prolific refuses, or does not answer; the record says which call it was.
        """
        self.show(f"POST {self.address}{path}")
        self.show(json.dumps(content, indent=1, ensure_ascii=False))
        if self.dry_run:
            return None
        self._note("sent", path, kept)
        try:
            answer = self._send("POST", path, content, {})
        except Refused as error:
            self._note("refused", path, {"reason": str(error)[:500]})
            raise
        about = {name: answer[name] for name in ("id", "status") if name in (answer or {})}
        self._note("answered", path, {**kept, "answer": about})
        return answer

    def notes(self) -> list[dict[str, Any]]:
        """Return the record, oldest line first.

        Raises:
            DataError: a line is no JSON.
        """
        if not self.record.is_file():
            return []
        notes = []
        for number, line in enumerate(read_bytes(self.record).splitlines(), 1):
            if line.strip():
                try:
                    notes.append(json.loads(line))
                except ValueError as error:
                    raise DataError(f"{self.record} line {number}: no JSON ({error})") from None
        return notes

    def hashed(self, submission: str) -> str:
        """Return what the record keeps of a submission's id."""
        message = f"prolific/{submission}".encode()
        return hmac.new(bytes.fromhex(self.study.key), message, hashlib.sha256).hexdigest()[:16]

    def _note(self, what: str, path: str, kept: Mapping[str, Any]) -> None:
        line = {"at": now(), "what": what, "call": f"POST {path}", **kept}
        append_line(self.record, json.dumps(line, ensure_ascii=False))

    def _send(
        self, method: str, path: str, content: Mapping[str, Any] | None, query: Mapping[str, str]
    ) -> Any:
        import httpx

        where = f"{method} {self.address}{path}"
        try:
            answer = httpx.request(
                method,
                self.address + path,
                params=query,
                json=content,
                headers={"Authorization": f"Token {self.token}"},
                timeout=_TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            raise HdbenchError(
                f"{where}: no answer ({error}); whether it was carried out is not known.\n"
                "Next: the same command again, which looks first"
            ) from None
        if answer.is_success:
            return answer.json() if answer.content else {}
        said = answer.text[:1000].replace(self.token, "...")
        hint = f".\nNext: check {TOKEN_VARIABLE}" if answer.status_code in (401, 403) else ""
        message = f"{where}: status {answer.status_code}: {said}{hint}"
        raise Refused(message) if answer.is_client_error else HdbenchError(message)


def prolific(
    packet: Path,
    study: StudyRecord,
    *,
    address: str,
    dry_run: bool,
    show: Callable[[str], None],
    reads: bool = True,
) -> Prolific:
    """Return the API for a packet, with the token of the environment.

    ``reads`` says whether a dry run reads from Prolific; without, it needs no token.

    Raises:
        UsageError: there is no token, httpx is not installed, or the address is not https.
    """
    if find_spec("httpx") is None:
        raise UsageError(
            "httpx: not installed; Prolific's API needs the extra 'web'.\n"
            "Next: pip install 'hdbench[web]'"
        )
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise UsageError(f"--api {address}: expected https; the token travels with every call")
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token and (reads or not dry_run):
        raise UsageError(
            f"{TOKEN_VARIABLE}: not set; expected an API token of Prolific.\nNext: "
            f"make one in Prolific's settings, then 'export {TOKEN_VARIABLE}=...'"
        )
    record = packet / RESULTS_FOLDER / RECORD_FILE
    return Prolific(study, record, token, address.rstrip("/"), dry_run, show)
