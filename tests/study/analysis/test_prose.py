from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_packet import protocol_of, submission, write_own, write_packet

from hdbench.study.analysis.prose import methods_paragraph
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import tally
from hdbench.study.packet.files import open_packet
from hdbench.text import markdown


def paragraph(folder: Path, entries: list) -> str:
    found = tally(open_packet(folder), [write_own(folder, entries)], simulated=False)
    return methods_paragraph(found, analyse(found, {}))


@pytest.mark.slow
def test_it_states_what_was_done_in_numbers(tmp_path: Path) -> None:
    folder = write_packet(tmp_path)
    text = paragraph(folder, [submission(folder, n, n) for n in range(12)])
    for fact in (
        "3 methods, ours, pix2pix and crn",
        '"Which image looks more natural?"',
        *("3 pairs", "10 times", "12 scenes", "5 times"),
        *("12 participants", "12 sessions", "144 judgments"),
        *("7 of 8 attention checks", "300 ms", "85 %"),
        "3 comparisons (Holm, 1979)",
    ):
        assert fact in text
    assert re.search(r"ours [a-z ]* pix2pix in \d", text)
    assert "  " not in text
    assert "None" not in text
    assert "SIMULATED" not in text


def test_small_numbers_have_their_grammar(tmp_path: Path) -> None:
    protocol = protocol_of("limited", judgments_per_pair=1)
    folder = write_packet(tmp_path, methods=("ours", "crn"), protocol=protocol, packet_length=6)
    blank = submission(folder, 0, 0)
    blank["rows"][-1]["choice"] = None
    text = paragraph(folder, [blank])
    for fact in (
        "125, 250, 500, 1,000, 2,000, 4,000 and 8,000 ms",
        *("The pair ", "once on each of 12 scenes"),
        *("One participant ", "1 session ", "5 judgments.", "One judgment ", "1 participant "),
    ):
        assert fact in text
    assert not re.search(r"\b(1|One) \w+s\b (?!is)", text)
    assert "95 % CI" not in text  # one participant allows none
    assert re.search(r" crn in \d", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a|b", "$x_1^{2"])
def test_a_method_may_be_called_anything(tmp_path: Path, name: str) -> None:
    folder = write_packet(tmp_path, methods=(name, "crn"))
    text = paragraph(folder, [submission(folder, n, n) for n in range(2)])
    assert markdown(name) in text
    assert "<img" not in text
