"""How long 50,000 judgments take to tally: reading, rules, analysis and files."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "study"))
import itertools

from small_packet import write_packet  # pyright: ignore[reportMissingImports]

from hdbench.study.analysis.export import tally_folder, write_tally
from hdbench.study.analysis.prose import methods_paragraph
from hdbench.study.analysis.simulate import Participants, simulate, write_simulated
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import tally
from hdbench.study.packet.files import open_packet

with tempfile.TemporaryDirectory() as name:
    folder = write_packet(Path(name), scenes=500, packet_length=100, judgments=34)
    packet = open_packet(folder)
    path = write_simulated(packet, simulate(packet, Participants(500, careless=0.05), 0))
    print(f"{path.stat().st_size / 2**20:.1f} MB of submissions")
    marks = [("", time.perf_counter(), time.process_time())]
    packet = open_packet(folder)
    found = tally(packet, [path], simulated=True)
    marks.append(("read, rules", time.perf_counter(), time.process_time()))
    analysis = analyse(found, {})
    marks.append(("analysis", time.perf_counter(), time.process_time()))
    write_tally(
        tally_folder(folder, simulated=True),
        found.table,
        analysis,
        methods_paragraph(found, analysis),
    )
    marks.append(("files", time.perf_counter(), time.process_time()))
    for (_, wall, cpu), (step, wall_end, cpu_end) in itertools.pairwise(marks):
        print(f"{step:12} {wall_end - wall:6.2f} s, {cpu_end - cpu:6.2f} s of CPU")
    total, cpu = marks[-1][1] - marks[0][1], marks[-1][2] - marks[0][2]
    answered = len(found.judgments(all_sessions=True))
    print(f"{answered:,} judgments in {total:.2f} s, {cpu:.2f} s of CPU")
