from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_packet import protocol_of, submission, write_own, write_packet

from hdbench.errors import DataError, UsageError
from hdbench.schema.summary import BradleyTerry, PairTrend
from hdbench.study.analysis.simulate import Participants, simulate, write_simulated
from hdbench.study.analysis.submissions import ANSWER
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import Tally, answer_files, tally
from hdbench.study.packet.files import open_packet


def tallied(folder: Path, people: Participants, seed: int = 0) -> Tally:
    packet = open_packet(folder)
    path = write_simulated(packet, simulate(packet, people, seed))
    assert answer_files(packet, [], simulated=True) == [path]
    return tally(packet, [path], simulated=True)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    packet = open_packet(write_packet(tmp_path))
    people = Participants(6, careless=0.3)
    texts = [write_simulated(packet, simulate(packet, people, 4)).read_bytes() for _ in range(2)]
    other = write_simulated(packet, simulate(packet, people, 5)).read_bytes()
    assert texts[0] == texts[1] != other


def test_every_row_and_record_says_that_it_is_simulated(tmp_path: Path) -> None:
    found = tallied(write_packet(tmp_path), Participants(12))
    for line in (tmp_path / "results" / "simulated.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert entry["simulated"] is True
        assert all(row["simulated"] is True for row in entry["rows"])
    assert found.simulated
    assert set(found.table["simulated"]) == {True}
    assert set(found.table["source"]) == {"simulated"}
    assert analyse(found, {}).simulated is True


def test_simulated_answers_are_never_taken_for_peoples(tmp_path: Path) -> None:
    packet = open_packet(write_packet(tmp_path))
    path = write_simulated(packet, simulate(packet, Participants(2), 0))
    with pytest.raises(DataError, match=r"simulated.jsonl line 1: "):
        tally(packet, [path], simulated=False)
    own = write_own(tmp_path, [submission(tmp_path, 0, 0)])
    with pytest.raises(DataError, match=r"judgments.jsonl line 1: "):
        tally(packet, [path, own], simulated=True)
    with pytest.raises(DataError, match=r"simulated.jsonl line 1: "):
        tally(packet, [own, path], simulated=False)
    with pytest.raises(UsageError, match="--simulated"):
        answer_files(packet, [own], simulated=True)
    entry = json.loads(path.read_text().splitlines()[0])
    entry["simulated"] = False
    path.write_text(json.dumps(entry))
    with pytest.raises(DataError, match=r"simulated.jsonl line 1: "):
        tally(packet, [path], simulated=False)
    table = tmp_path / "results.csv"
    table.write_text(f'AssignmentId,WorkerId,{ANSWER}\nA,B,"{json.dumps(entry)}"'.replace(
        json.dumps(entry), json.dumps(entry).replace('"', '""')
    ))  # fmt: skip
    with pytest.raises(DataError, match=r"results.csv line 2: "):
        tally(packet, [table], simulated=False)
    own.unlink()
    with pytest.raises(UsageError, match="--simulated"):
        answer_files(packet, [], simulated=False)


@pytest.mark.slow
def test_abilities_and_side_bias_are_recovered(tmp_path: Path) -> None:
    folder = write_packet(tmp_path, scenes=60, packet_length=60, judgments=16)
    abilities = {"ours": 1.0, "pix2pix": -1.0, "crn": 0.0}
    people = Participants(48, side_bias=0.4, worker_sd=0.2, image_sd=0.3, abilities=abilities)
    analysis = analyse(tallied(folder, people), {})
    assert isinstance(analysis.bradley_terry, BradleyTerry)
    for entry in analysis.bradley_terry.abilities:
        assert entry.value == pytest.approx(abilities[entry.method], abs=0.2)
    assert analysis.bradley_terry.side == pytest.approx(0.4, abs=0.15)
    shares = {(row.a, row.b): row.share for row in analysis.pairs}
    assert shares["ours", "pix2pix"] == pytest.approx(0.88, abs=0.04)
    assert analysis.side is not None
    assert (analysis.side.share or 0) > 0.53
    assert analysis.counts.void_attempts > 0
    assert analysis.counts.missing_judgments == 0


def test_the_careless_are_found_out(tmp_path: Path) -> None:
    found = tallied(write_packet(tmp_path, packet_length=36), Participants(12, careless=0.5))
    assert 2 <= len(found.exclusions) <= 10
    assert all(entry.kind == "quality" for entry in found.exclusions)
    assert all("300 ms" in "; ".join(entry.reasons) for entry in found.exclusions)
    nobody = tallied(write_packet(tmp_path / "all"), Participants(4, careless=1.0))
    analysis = analyse(nobody, {})
    assert analysis.counts.judgments == 0
    assert all(row.share is None for row in analysis.pairs)
    assert all(row.all_sessions.n for row in analysis.pairs)
    assert list(analysis.content()["bradley_terry"]) == ["reason"]


@pytest.mark.slow
def test_a_difference_shows_with_time(tmp_path: Path) -> None:
    protocol = protocol_of("limited", judgments_per_pair=14)
    folder = write_packet(
        tmp_path, methods=("ours", "crn"), scenes=70, packet_length=70, judgments=14,
        protocol=protocol,
    )  # fmt: skip
    people = Participants(14, worker_sd=0.3, image_sd=0.3, abilities={"ours": 1.0, "crn": -1.0})
    analysis = analyse(tallied(folder, people), {})
    shares = [row.share or 0 for row in analysis.durations]
    assert [row.planned_ms for row in analysis.durations] == protocol.design.durations_ms
    assert sum(row.n for row in analysis.durations) == analysis.counts.judgments
    assert analysis.counts.judgments >= 840  # bad luck with checks excludes few
    assert shares[0] < 0.75 < shares[-1]
    (trend,) = analysis.trends
    assert isinstance(trend, PairTrend)
    assert trend.interval.low > 0
    assert analysis.durations[0].measured_ms == pytest.approx(133.3)  # 8 frames, not 125
    assert analysis.counts.within_one_frame == 1


def test_an_ability_of_no_method_of_the_study(tmp_path: Path) -> None:
    packet = open_packet(write_packet(tmp_path))
    with pytest.raises(UsageError, match=r"--ability our: .*'ours'"):
        simulate(packet, Participants(1, abilities={"our": 1.0}), 0)
