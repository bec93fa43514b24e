"""Mechanical Turk's formats: limits, schema, variables, and what refuses to be written."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from handmade import PACKET, handmade_packet
from hypothesis import given, settings
from hypothesis import strategies as st

from hdbench.cli.study import mturk
from hdbench.errors import DataError, UsageError
from hdbench.study.packet.files import public_packets
from hdbench.study.packet.mturk import (
    EXTERNAL_QUESTION,
    HTML_QUESTION,
    NO_ADDRESS,
    check_external_question,
    check_html_question,
    write_mturk,
)
from hdbench.study.packet.page import inert_json, page_fragment, page_with, participant_page

ADDRESS = "https://pictures.example/study/"
HOSTILE = "</script></textarea><img src=x onerror=alert(1)>]]>${packet}&quot;"


class Tags(HTMLParser):
    """The elements of a page, as a browser would open them, and what scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.named: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.named += [value or "" for key, value in attrs if key == "name"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def filled(template: str, row: dict[str, str]) -> str:
    """Fill variables in as the requester site and Turkle do."""
    return re.sub(r"\$\{(\w+)\}", lambda match: row[match[1]], template)


def test_all_files_of_a_usual_packet(tmp_path: Path) -> None:
    packet = handmade_packet(tmp_path, practice=5, durations=[None] * 108)
    written = write_mturk(tmp_path, address=ADDRESS)
    assert {path.name for path in written.folder.iterdir()} == {
        "README.md",
        "batch.csv",
        "external.xml",
        "layout.html",
        "question.xml",
    }
    (row,) = rows_of(written.folder / "batch.csv")
    assert row["packet"] == PACKET
    assert row["images"] == f"{ADDRESS}images/"
    assert json.loads(row["trials"]) == packet["trials"]
    assert all(re.fullmatch("[A-Za-z0-9_]+", name) for name in row)
    question = filled((written.folder / "question.xml").read_text(), row)
    assert written.question_bytes == len(question.encode()) <= 65_535
    check_html_question(question)
    external = filled((written.folder / "external.xml").read_text(), row)
    check_external_question(external)
    url = ElementTree.fromstring(external).findtext(f"{{{EXTERNAL_QUESTION}}}ExternalURL")
    assert url == f"{ADDRESS}index.html?packet={PACKET}"
    assert written.notes == ()


def test_the_layout_is_a_fragment_without_form_or_template_literal(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    layout = (write_mturk(tmp_path).folder / "layout.html").read_text()
    tags = Tags(layout)
    assert not {"html", "head", "body", "form", "iframe", "link"} & set(tags.names)
    assert sorted(re.findall(r"\$\{([^}]*)\}", layout)) == ["images", "packet", "trials"]
    assert "`" not in layout
    assert tags.named == ["judgments"]
    assert re.search(r"<button type=\"submit\"", layout)  # else the site adds a button of its own


@pytest.mark.parametrize("escaped", [False, True], ids=["inserted raw", "escaped for HTML"])
def test_a_page_reads_its_variables_however_they_are_inserted(
    tmp_path: Path, escaped: bool
) -> None:
    handmade_packet(tmp_path)
    folder = write_mturk(tmp_path, address=ADDRESS).folder
    (row,) = rows_of(folder / "batch.csv")
    shown = {name: html.escape(cell) if escaped else cell for name, cell in row.items()}
    text = filled((folder / "layout.html").read_text(), shown)
    trials = re.search(r'id="hd-trials" hidden>(.*?)</textarea>', text, flags=re.DOTALL)
    assert trials
    assert html.unescape(trials[1]) == row["trials"]
    prefix = re.search(r'data-images="([^"]*)"', text)
    assert prefix
    assert html.unescape(prefix[1]) == row["images"]


def test_html_in_texts_is_inert_in_every_file(tmp_path: Path) -> None:
    handmade_packet(
        tmp_path, question=HOSTILE, instructions=[HOSTILE], left_label=HOSTILE, right_label=HOSTILE
    )
    handmade_packet(tmp_path / "usual")
    (packet,) = public_packets(tmp_path).values()
    (usual,) = public_packets(tmp_path / "usual").values()
    assert Tags(page_fragment(packet)).names == Tags(page_fragment(usual)).names
    assert Tags(page_with(packet)).names == Tags(page_with(usual)).names
    folder = write_mturk(tmp_path, address=ADDRESS).folder
    (row,) = rows_of(folder / "batch.csv")
    question = filled((folder / "question.xml").read_text(), row)
    check_html_question(question)
    content = ElementTree.fromstring(question).findtext(f"{{{HTML_QUESTION}}}HTMLContent") or ""
    inline = re.search(r'id="hd-packet">(.*?)</script>', content, flags=re.DOTALL)
    assert inline
    assert json.loads(inline[1])["question"] == HOSTILE


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("a<>&${}]\"'\\\u2028é", max_size=12), max_size=3))
def test_inert_json_says_the_same_and_ends_nothing(value: Any) -> None:
    text = inert_json(value)
    assert json.loads(text) == value
    assert not {"<", ">", "&"} & set(text)
    assert "${" not in text


def test_a_question_that_does_not_fit_is_left_out_and_its_size_is_said(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    write_mturk(tmp_path, address=ADDRESS)
    path = tmp_path / "web" / "packets" / f"{PACKET}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"trials": content["trials"] * 100}))
    written = write_mturk(tmp_path, address=ADDRESS)
    assert not (written.folder / "question.xml").exists()
    assert (written.folder / "external.xml").exists()
    assert written.question_bytes > 65_535
    (note,) = written.notes
    assert f"{written.question_bytes:,} bytes" in note
    assert "external.xml" in note
    assert "65,535" not in (written.folder / "README.md").read_text()  # what it may hold


def test_without_an_address_a_placeholder_stands_and_is_told(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    written = write_mturk(tmp_path)
    assert "--url" in written.notes[0]
    assert NO_ADDRESS in (written.folder / "README.md").read_text()


def test_questions_need_https_but_a_turkle_nearby_does_not(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    write_mturk(tmp_path, address=ADDRESS)
    written = write_mturk(tmp_path, address="http://127.0.0.1:8000")
    assert {path.name for path in written.folder.iterdir()} == {
        "README.md",
        "batch.csv",
        "layout.html",
    }
    assert "question.xml and external.xml" in written.notes[0]


@pytest.mark.parametrize(
    "address",
    [
        "pictures.example",
        'https://x.example/"onload=',
        "https://x.example/?a=1",
        "javascript:1",
    ],
)
def test_addresses_that_cannot_stand_in_the_formats(tmp_path: Path, address: str) -> None:
    handmade_packet(tmp_path)
    with pytest.raises(UsageError, match="--url"):
        write_mturk(tmp_path, address=address)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda packet: packet.pop("question"), "question"),
        (lambda packet: packet.update(packet="f" * 16), "packet f{16}"),
        (lambda packet: packet.update(trials=[]), r"trials = \[\]"),
        (lambda packet: packet["trials"][0].update(method="a"), "trial 1 key 'method'"),
    ],
)
def test_damaged_packets_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    handmade_packet(tmp_path)
    path = tmp_path / "web" / "packets" / f"{PACKET}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        write_mturk(tmp_path)


def test_packets_of_two_studies_are_refused(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    folder = tmp_path / "web" / "packets"
    content = json.loads((folder / f"{PACKET}.json").read_text())
    other = content | {"packet": "f" * 16, "question": "Another?"}
    (folder / f"{'f' * 16}.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match=r"f{16}\.json: question "):
        write_mturk(tmp_path)


def test_json_that_is_cut_off_and_folders_that_are_no_packets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"study\.json"):
        write_mturk(tmp_path)
    handmade_packet(tmp_path)
    path = tmp_path / "web" / "packets" / f"{PACKET}.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=f"{PACKET}.json: "):
        write_mturk(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="packets: "):
        write_mturk(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<HTMLQuestion>", "HTMLQuestion: .*line 1, column 14"),
        ("<HTMLQuestion><HTMLContent/></HTMLQuestion>", "expected HTMLQuestion"),
        (
            f'<HTMLQuestion xmlns="{HTML_QUESTION}"><HTMLContent>${{a}}</HTMLContent>'
            "<FrameHeight>x</FrameHeight></HTMLQuestion>",
            r"(?s)FrameHeight .*'x'.*<form .*: a$",
        ),
        (
            f'<HTMLQuestion xmlns="{HTML_QUESTION}"><HTMLContent>{"a" * 65_500}</HTMLContent>'
            "<FrameHeight>0</FrameHeight></HTMLQuestion>",
            "65,535",
        ),
    ],
)
def test_what_a_question_may_not_be(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_html_question(text)


def test_an_external_question_needs_a_whole_https_address() -> None:
    text = (
        f'<ExternalQuestion xmlns="{EXTERNAL_QUESTION}"><ExternalURL>http://x.example/</ExternalURL>'
        "<FrameHeight>0</FrameHeight></ExternalQuestion>"
    )
    with pytest.raises(DataError, match=r"'http://x.example/'"):
        check_external_question(text)


def test_checksums_follow_the_files(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  mturk/question.xml\n{'1' * 64}  web/x\n")
    folder = write_mturk(tmp_path, address="http://127.0.0.1:8000/").folder
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert lines[-1] == f"{'1' * 64}  web/x"
    for line in lines[:-1]:
        hexadecimal, name = line.split("  ")
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == hexadecimal
    assert len(lines) == 1 + len(list(folder.iterdir()))


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    (tmp_path / "SHA256SUMS").write_text("")
    folder = write_mturk(tmp_path, address=ADDRESS).folder
    (folder / ".batch.csv.4711.tmp").write_text("packet")
    (folder / "batch.csv").unlink()
    write_mturk(tmp_path, address=ADDRESS)
    assert (folder / "batch.csv").is_file()
    assert "tmp" not in (tmp_path / "SHA256SUMS").read_text()


def test_the_same_packet_gives_the_same_bytes(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    first = {path.name: path.read_bytes() for path in write_mturk(tmp_path).folder.iterdir()}
    second = {path.name: path.read_bytes() for path in write_mturk(tmp_path).folder.iterdir()}
    assert first == second


def test_page_and_readme_say_no_method_of_the_library(tmp_path: Path) -> None:
    """Also not inside other words, so that a search for names finds nothing in what is served."""
    handmade_packet(tmp_path)
    readme = (write_mturk(tmp_path).folder / "README.md").read_text()
    for text in (participant_page(), readme):
        assert not re.search("ours|pix2pix|crn|oracle", text, flags=re.IGNORECASE)


def test_the_page_asks_no_third_party_for_anything() -> None:
    addresses = re.findall(r"https?://[^\"' ]+", participant_page())
    assert addresses == []
    assert not re.search(r"<link|@import|url\(|\son\w+=|eval\(|innerHTML", participant_page())


def test_the_command(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    result = CliRunner().invoke(mturk, [str(tmp_path), "--url", ADDRESS])
    assert result.exit_code == 0
    assert result.stdout.startswith("1 task in ")
    assert "Examples" in CliRunner().invoke(mturk, ["--help"]).output


def test_the_readme_promises_no_venue_that_has_closed(tmp_path: Path) -> None:
    handmade_packet(tmp_path)
    readme = (write_mturk(tmp_path, address=ADDRESS).folder / "README.md").read_text()
    for fact in ("30 September 2026", "Turkle (3a)", "study serve"):
        assert fact in readme
    assert "keyed hashes" in readme  # what is kept of PROLIFIC_PID
