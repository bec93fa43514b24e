"""``study serve``, ``backup`` and ``export`` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result as Outcome
from conftest import hdbench_process
from servers import Person, right_answers, running, site

from hdbench.study.packet.files import open_packet
from hdbench.study.server.running import public_address, researcher_token
from hdbench.web.serving import listen

Cli = Callable[..., Outcome]


@pytest.mark.slow
def test_answers_are_copied_exported_and_tallied(
    bare_cli: Cli, packet: Path, tmp_path: Path
) -> None:
    nothing = bare_cli("study", "backup", packet, tmp_path / "copy.sqlite")
    assert nothing.exit_code == 2
    assert "study serve" in nothing.stderr
    opened, right = open_packet(packet), right_answers(packet)
    with site(packet) as served:
        for _ in range(opened.study.packets):
            Person(served.client()).come().answer(right)
    for command in (
        ("backup", packet, tmp_path / "copy.sqlite"),
        ("export", packet, "--output", tmp_path / "answers.jsonl"),
    ):
        assert bare_cli("study", *command).exit_code == 0
    assert bare_cli("study", "backup", packet, tmp_path / "copy.sqlite").exit_code == 2
    lines = bare_cli("study", "export", packet).stdout.splitlines()
    assert (tmp_path / "answers.jsonl").read_text().splitlines() == lines
    assert len(lines) == opened.study.packets
    others = (tmp_path / "copy.sqlite", tmp_path / "answers.jsonl")
    tallied = bare_cli("study", "tally", packet, *others, "--json")
    assert tallied.exit_code == 0, tallied.stderr
    counts = json.loads(tallied.stdout)["counts"]
    answers = sum(len(json.loads(line)["rows"]) for line in lines)
    assert counts["duplicate_rows"] == 2 * answers
    assert counts["sessions"] == opened.study.packets


@pytest.mark.slow
def test_an_interpreter_of_its_own_serves_until_ctrl_c(packet: Path) -> None:
    process = hdbench_process("study", "serve", packet, "--port", "0", cwd=packet.parent)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    link = next(line.split()[1] for line in lines if line.startswith("participants: "))
    with urllib.request.urlopen(link) as answer:
        assert answer.status == 200
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)


def test_serving_needs_a_packet_and_a_free_port(bare_cli: Cli, packet: Path) -> None:
    assert bare_cli("study", "serve", packet.parent).exit_code == 2
    assert bare_cli("study", "serve", packet, "--url", "ftp://example.org").exit_code == 2
    with listen("127.0.0.1", 0, lambda: "").listener as taken:
        port = str(taken.getsockname()[1])
        refused = bare_cli("study", "serve", packet, "--port", port)
    assert refused.exit_code == 2
    assert port in refused.stderr


def test_the_researchers_link_stays_and_is_private(packet: Path) -> None:
    token = researcher_token(packet)
    assert researcher_token(packet) == token
    path = packet / "results" / "researcher.token"
    assert path.stat().st_mode & 0o77 == 0
    path.write_text("edited")
    assert researcher_token(packet) != token


@pytest.mark.parametrize(
    "address", ["study.example.org", "https://example.org/study", "https://", "https://a/?b"]
)
def test_addresses_that_are_no_root_of_a_host(bare_cli: Cli, packet: Path, address: str) -> None:
    assert bare_cli("study", "serve", packet, "--url", address).exit_code == 2
    assert public_address("https://study.example.org:8443") == "https://study.example.org:8443/"


@pytest.mark.slow
def test_a_server_as_a_process(packet: Path) -> None:
    with running(packet, "--unblind") as server:
        with urllib.request.urlopen(server.url) as page:
            assert b"hdbench" in page.read()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.url}researcher")
        assert refused.value.code == 401
        refused.value.close()
        assert server.researcher.startswith(f"{server.url}researcher?token=")
