"""A packet as it is really built, answered and tallied."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdbench.errors import DataError
from hdbench.study.analysis.export import read_summary, tally_folder, write_tally
from hdbench.study.analysis.prose import methods_paragraph
from hdbench.study.analysis.simulate import Participants, simulate, write_simulated
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import tally
from hdbench.study.packet.files import open_packet
from hdbench.study.packet.verify import verify


@pytest.mark.slow
def test_a_built_packet_is_answered_and_tallied(packet: Path) -> None:
    opened = open_packet(packet)
    submissions = simulate(opened, Participants(opened.study.packets, void=0.2), 0)
    public = [entry.packet for entry in submissions]
    assert {f"{name}.json" for name in public} == {
        path.name for path in (packet / "web" / "packets").iterdir()
    }
    path = write_simulated(opened, submissions)
    found = tally(opened, [path], simulated=True)
    assert len(found.judgments(all_sessions=True)) == 3 * 3 * 2  # pairs, scenes, R
    assert found.missing() == 0
    analysis = analyse(found, {})
    assert [row.all_sessions.n for row in analysis.pairs] == [6, 6, 6]
    text = methods_paragraph(found, analysis)
    assert "alpha, beta and oracle (photographs)" in text
    folder = tally_folder(packet, simulated=True)
    paths = write_tally(folder, found.table, analysis, text)
    assert read_summary(paths["summary"]).content() == analysis.content()
    assert not [line for finding in verify(packet) for line in finding.violations]


def test_rules_that_were_moved_after_the_build_are_found(packet: Path) -> None:
    path = packet / "study.json"
    path.write_text(path.read_text().replace('"checks_passed": 2', '"checks_passed": 0'))
    with pytest.raises(DataError, match=r"study\.json: .*SHA256SUMS"):
        open_packet(packet)
