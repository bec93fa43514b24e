from __future__ import annotations

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


def test_it_states_what_was_done_in_numbers(tmp_path: Path) -> None:
    folder = write_packet(tmp_path)
    text = paragraph(folder, [submission(folder, n, n) for n in range(12)])
    assert "the images of 3 methods, ours, pix2pix and crn, in a paired comparison" in text
    assert 'the question "Which image looks more natural?"' in text
    assert "Each of the 3 pairs of methods was to be judged 10 times on each of 12 scenes" in text
    assert "5 times with each method on the left; the order of trials was random" in text
    assert "12 participants took part in 12 sessions and gave 144 judgments." in text
    assert "fewer than 7 of 8 attention checks passed, a median response time below 300 ms" in text
    assert "this removed none" in text
    assert "corrected for 3 comparisons (Holm, 1979)" in text
    assert "ours was preferred over pix2pix in " in text
    assert "  " not in text
    assert "None" not in text
    assert "SIMULATED" not in text


def test_small_numbers_have_their_grammar(tmp_path: Path) -> None:
    protocol = protocol_of("limited", judgments_per_pair=1)
    folder = write_packet(tmp_path, methods=("ours", "crn"), protocol=protocol, packet_length=6)
    blank = submission(folder, 0, 0)
    blank["rows"][-1]["choice"] = None
    text = paragraph(folder, [blank])
    assert "The pair was to be judged once on each of 12 scenes, with durations and sides" in text
    assert "shown for 125, 250, 500, 1,000, 2,000, 4,000 and 8,000 ms and were then covered" in text
    assert "One participant took part in 1 session and gave 5 judgments." in text
    assert "One judgment of these sessions is missing." in text
    assert "by 1 participant on" in text
    assert "95 % CI" not in text  # one participant allows none
    assert "was preferred over crn in" in text


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a|b", "$x_1^{2"])
def test_a_method_may_be_called_anything(tmp_path: Path, name: str) -> None:
    folder = write_packet(tmp_path, methods=(name, "crn"))
    text = paragraph(folder, [submission(folder, n, n) for n in range(2)])
    assert markdown(name) in text
    assert "<img" not in text
