"""The participant's page: one file of HTML, CSS and JavaScript for every venue.

``pages/participant.html`` is served as it is (``?packet=ID`` names the packet), with the packet
inside it as a single file, and as a fragment for sites that wrap it in their own form. It contains
no JavaScript template literal, because ``${...}`` is a variable in MTurk's layouts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hdbench.errors import DataError
from hdbench.schema.packet import PublicPacket
from hdbench.storage import read_bytes

_FILE = Path(__file__).parent / "pages" / "participant.html"
_NO_PACKET = '<script type="application/json" id="hd-packet">null</script>'
#: Names the prefix of a study server's requests; only such a server fills it in.
_NO_SERVER = 'data-server=""'
#: Hosts of Mechanical Turk that answers may be posted to; the page holds the same list.
SUBMIT_HOSTS = ("www.mturk.com", "workersandbox.mturk.com")


def participant_page() -> str:
    """Return the page as served beside ``packets/`` and ``images/``, without a packet."""
    return _FILE.read_text(encoding="utf-8")


def page_with(packet: PublicPacket) -> str:
    """Return the page with one packet inside: a file that needs only the images."""
    return _filled(participant_page(), packet.model_dump(mode="json", by_alias=True))


def page_fragment(packet: PublicPacket) -> str:
    """Return the page without ``html``, ``head`` and ``body``, for the form of another site.

    The packet's id, the prefix of its images and its trials are the variables ``${packet}``,
    ``${images}`` and ``${trials}``; each has the same meaning inserted raw or escaped for HTML.
    Question, instructions, mode and display are those of ``packet``, any packet of the study.
    """
    page = participant_page()
    style = _between(page, "<style>", "</style>")
    body = _between(page, "<body>", "</body>").removeprefix("<body>\n").removesuffix("</body>")
    content = packet.model_dump(mode="json", by_alias=True)
    varying = {"packet": "", "images": "", "trials": None}
    fragment = f"{style}\n{_filled(body, {**content, **varying})}"
    for empty, variable in (
        ('data-packet=""', 'data-packet="${packet}"'),
        ('data-images=""', 'data-images="${images}"'),
        ('id="hd-trials" hidden></textarea>', 'id="hd-trials" hidden>${trials}</textarea>'),
    ):
        assert fragment.count(empty) == 1, f"{_FILE.name} must hold {empty} once"
        fragment = fragment.replace(empty, variable)
    return fragment


def page_of_server(path: Path) -> str:
    """Return a packet's page as its study's server serves it: it posts each answer there.

    Raises:
        DataError: the page is of a version that cannot do so.
    """
    page = read_bytes(path).decode(errors="replace")
    if page.count(_NO_SERVER) != 1:
        raise DataError(
            f"{path}: cannot post its answers to a server; an earlier version of hdbench built "
            "it.\nNext: build the packet again into another folder, with '--key' and its "
            "secret.key, or put web/ on a file server"
        )
    return page.replace(_NO_SERVER, _NO_SERVER.replace('""', '"api"'))


def content_security_policy() -> str:
    """Return the policy that the page as served runs under: itself and its images only.

    Script and style are allowed by their SHA-256; images arrive as blobs; forms may go to
    Mechanical Turk only.
    """
    return page_policy(participant_page(), " ".join(f"https://{host}" for host in SUBMIT_HOSTS))


def page_policy(page: str, form_action: str) -> str:
    """Return the policy of a page with its own scripts and styles, by their SHA-256.

    ``form_action`` says where forms may go.
    """
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(map(_source_hash, scripts)) or "'none'",
        "style-src": " ".join(map(_source_hash, styles)) or "'none'",
        "img-src": "'self' blob:",
        "connect-src": "'self'",
        "form-action": form_action,
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def inert_json(value: Any) -> str:
    """Return JSON that cannot end a script or a CDATA section, or begin a ``${variable}``."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.replace("${", "$\\u007b")


def _filled(page: str, packet: dict[str, Any]) -> str:
    assert page.count(_NO_PACKET) == 1, f"{_FILE.name} must hold {_NO_PACKET} once"
    return page.replace(_NO_PACKET, _NO_PACKET.replace("null", inert_json(packet)))


def _between(text: str, first: str, last: str) -> str:
    return text[text.index(first) : text.rindex(last) + len(last)]


def _source_hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
