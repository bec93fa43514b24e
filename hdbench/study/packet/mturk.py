"""Mechanical Turk's formats, which Turkle reads too: batch.csv, layout.html and question XML.

Rules are those of the Requester API 2017-01-17 (data structures HTMLQuestion and ExternalQuestion)
and of the requester site's projects (one CSV row for each HIT, ``${name}`` variables).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hdbench.errors import DataError, UsageError, counted, listing
from hdbench.provenance import canonical_json
from hdbench.schema.packet import PACKET_SCHEMA, DisplayedSize, PublicPacket
from hdbench.storage import write_atomically
from hdbench.study.packet.files import (
    SUMS_FILE,
    public_packets,
    read_sums,
    require_packet,
    sums_of,
    write_sums,
)
from hdbench.study.packet.page import SUBMIT_HOSTS, page_fragment
from hdbench.text import template

_SCHEMAS = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas"
HTML_QUESTION = f"{_SCHEMAS}/2011-11-11/HTMLQuestion.xsd"
EXTERNAL_QUESTION = f"{_SCHEMAS}/2006-07-14/ExternalQuestion.xsd"
#: An HTMLQuestion may hold no more bytes, variables filled in.
MOST_BYTES = 65_535
#: A placeholder until the researcher states the address of the images.
NO_ADDRESS = "https://example.org/replace-this-address/"
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~-]+)*/?")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
#: Fields that differ between the packets of a study.
_COLUMNS: tuple[str, ...] = ("packet", "images", "trials")


@dataclass(frozen=True)
class VenueFiles:
    """The result of writing ``mturk/``."""

    folder: Path
    #: HITs, one for each packet.
    rows: int
    #: Bytes of the largest HTMLQuestion, its variables filled in.
    question_bytes: int
    #: Notes for the researcher: a question that does not fit, a missing address.
    notes: tuple[str, ...]


def write_mturk(packet: Path, *, address: str | None = None) -> VenueFiles:
    """Write ``mturk/`` of a packet: batch.csv, layout.html, question.xml, external.xml, README.md.

    An HTMLQuestion above 65,535 bytes is left out, as are both kinds of question for an address
    without https; a note says so. The lines of ``mturk/`` in ``SHA256SUMS`` are updated.
    ``address`` serves the content of ``web/``, such as ``https://my-bucket.example/study/``;
    without it the files contain a placeholder.

    Raises:
        UsageError: the folder is no packet, or the address does not fit MTurk's formats.
        DataError: a file of the packet is damaged, or packets disagree about the study.
    """
    where = _checked_address(address or NO_ADDRESS)
    require_packet(packet)
    packets = _packets_of_one_study(packet)
    rows = [_row(content, where) for content in packets]
    layout = page_fragment(packets[0])
    _check_variables(layout)
    notes: list[str] = []
    if address is None:
        notes.append(
            f"the files hold the address {NO_ADDRESS}; put web/ on your server, then say where. "
            f"Next: 'hdbench study mturk {packet} --url https://...'"
        )
    question = _html_question(layout)
    largest = max(len(_substituted(question, row).encode()) for row in rows)
    files = {"batch.csv": _csv(rows), "layout.html": layout}
    if not where.startswith("https:"):
        notes.append(
            "question.xml and external.xml are left out, as both kinds need https; "
            "layout.html and batch.csv serve a Turkle of your own"
        )
    else:
        external = _external_question(f"{where}index.html?packet=${{packet}}")
        check_external_question(_substituted(external, rows[0]))
        files["external.xml"] = external
        if largest <= MOST_BYTES:
            check_html_question(_substituted(question, rows[0]))
            files["question.xml"] = question
        else:
            notes.append(
                f"question.xml is left out: filled in it would hold {largest:,} bytes, and "
                f"an HTMLQuestion may hold {MOST_BYTES:,}; use external.xml (ExternalQuestion)"
            )
    files["README.md"] = template(__file__, "venues.md").render(
        rows=len(rows),
        trials=max(len(content.trials) for content in packets),
        timed=packets[0].mode == "timed",
        address=where,
        known=address is not None,
        question_bytes=largest if "question.xml" in files else None,
        external="external.xml" in files,
    )
    folder = packet / "mturk"
    for name in ("question.xml", "external.xml"):
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    for left in folder.glob(".*.tmp"):  # of a run that was killed
        left.unlink()
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    _renew_sums(packet)
    return VenueFiles(folder, len(rows), largest, tuple(notes))


def standing_text() -> str:
    """Return the text in ``mturk/`` that is the same for every study."""
    nothing = PublicPacket.model_construct(
        version=PACKET_SCHEMA,
        study="",
        packet="",
        question="",
        left_label="",
        right_label="",
        instructions=[],
        mode="unlimited",
        display=DisplayedSize(width=0, height=0),
        images="",
        trials=[],
    )
    layout = page_fragment(nothing)
    readme = template(__file__, "venues.md")
    facts = {"rows": 0, "trials": 0, "timed": True, "known": False, "external": True}
    readmes = [
        readme.render(**facts, address=NO_ADDRESS, question_bytes=size) for size in (None, 1)
    ]
    return "\n".join([_html_question(layout), _external_question(NO_ADDRESS), *readmes])


def check_html_question(text: str) -> None:
    """Check an HTMLQuestion, its variables filled in, against schema and limits.

    Raises DataError if it is not well-formed XML, has other elements or too many bytes, or its form
    lacks what Mechanical Turk needs.
    """
    content, height = _elements(text, HTML_QUESTION, "HTMLQuestion", ("HTMLContent", "FrameHeight"))
    problems = []
    if len(text.encode()) > MOST_BYTES:
        problems.append(f"{len(text.encode()):,} bytes; expected at most {MOST_BYTES:,}")
    if not height.isdigit():
        problems.append(f"FrameHeight is {height!r}; expected pixels, or 0 for the whole window")
    for needed in ("<form ", "/mturk/externalSubmit", 'name="assignmentId"', 'name="judgments"'):
        if needed not in content:
            problems.append(f"HTMLContent lacks {needed}")
    if left := _VARIABLE.findall(content):
        problems.append(f"variables are not filled in: {', '.join(left)}")
    if problems:
        raise DataError(f"HTMLQuestion:\n{listing(problems)}")


def check_external_question(text: str) -> None:
    """Raise DataError unless an ExternalQuestion, its variables filled in, fits its schema."""
    names = ("ExternalURL", "FrameHeight")
    url, height = _elements(text, EXTERNAL_QUESTION, "ExternalQuestion", names)
    if not url.startswith("https://") or _VARIABLE.search(url):
        raise DataError(f"ExternalQuestion: ExternalURL is {url!r}; expected a whole https address")
    if not height.isdigit():
        raise DataError(f"ExternalQuestion: FrameHeight is {height!r}; expected pixels, or 0")


def _elements(text: str, namespace: str, root: str, names: Sequence[str]) -> list[str]:
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{root}: not well-formed XML ({error})") from error
    expected = [f"{{{namespace}}}{name}" for name in names]
    found = [child.tag for child in tree]
    if tree.tag != f"{{{namespace}}}{root}" or found != expected or tree.attrib:
        raise DataError(f"{root}: elements {tree.tag}, {found}; expected {root}, {expected}")
    return [child.text or "" for child in tree]


def _html_question(layout: str) -> str:
    text = template(__file__, "html_question.xml").render(
        schema=HTML_QUESTION, host=SUBMIT_HOSTS[0], layout=layout
    )
    assert text.count("]]>") == 1, "the page must not hold the end of a CDATA section"
    return text


def _external_question(url: str) -> str:
    return template(__file__, "external_question.xml").render(schema=EXTERNAL_QUESTION, url=url)


def _row(packet: PublicPacket, address: str) -> dict[str, str]:
    trials = packet.model_dump(mode="json", by_alias=True)["trials"]
    row = {
        "packet": packet.packet,
        "images": f"{address}{packet.images}",
        "trials": canonical_json(trials),
    }
    # No cell may be read as a formula, or end the attribute or element that contains it.
    if wild := [
        name for name, cell in row.items() if cell[0] in "=+-@\t\r" or set(cell) & set("<>&")
    ]:
        raise DataError(f"packet {packet.packet}: {', '.join(wild)} is not allowed in batch.csv")
    return row


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _substituted(template: str, row: Mapping[str, str]) -> str:
    for name, cell in row.items():
        template = template.replace(f"${{{name}}}", cell)
    return template


def _check_variables(layout: str) -> None:
    used = _VARIABLE.findall(layout)
    assert sorted(used) == sorted(_COLUMNS), f"layout.html must hold each variable once: {used}"
    assert all(re.fullmatch("[A-Za-z0-9_]+", name) for name in used)


def _checked_address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"--url {address}: expected the folder where the content of web/ is found, such as "
            "https://my-bucket.example/study/ (letters, digits and . _ ~ - / only, no query)"
        )
    return address if address.endswith("/") else f"{address}/"


def _packets_of_one_study(packet: Path) -> list[PublicPacket]:
    found = public_packets(packet)
    first = next(iter(found))
    shared = found[first].model_dump(exclude=set(_COLUMNS))
    problems = []
    for path, content in found.items():
        own = content.model_dump(exclude=set(_COLUMNS))
        differing = [key for key in sorted(shared) if own[key] != shared[key]]
        if content.packet != path.stem:
            problems.append(f"{path.name}: says that it is packet {content.packet}")
        elif differing:
            problems.append(f"{path.name}: {', '.join(differing)} differ from {first.name}")
    if problems:
        raise DataError(
            f"{packet}: {counted(len(problems), 'damaged packet')}\n{listing(problems)}\n"
            "Next: 'hdbench study verify', then build the packet again"
        )
    return list(found.values())


def _renew_sums(packet: Path) -> None:
    if not (packet / SUMS_FILE).is_file():
        return
    sums = read_sums(packet).items()
    kept = {name: value for name, value in sums if not name.startswith("mturk/")}
    kept |= sums_of(packet, (packet / "mturk").iterdir())
    write_sums(packet, dict(sorted(kept.items())))
