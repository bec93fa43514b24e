"""A study's server under load: 100 people at once, 10,000 judgments, the server killed three times.

Everybody answers after 0.5 to 1.5 s, which is faster than people are, and sends an answer until it
is acknowledged, as the page does. Printed are the times from sending to the acknowledgement, those
of requests that met a dead server left out, and whether anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hdbench.library import Library
from hdbench.schema.study import StudyProtocol
from hdbench.study.answers.database import database_path, reading, submissions
from hdbench.study.packet.build import Flags, build
from hdbench.study.packet.files import open_packet
from hdbench.study.packet.gathering import gather
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace

SIZE = (64, 48)
#: After a restart all people send again at once.
CALM_S = 10.0
BENCHMARK = """
extends = "camvid"
name    = "many"
title   = "Many small scenes"
[size]
width  = 64
height = 48
"""


def packet_of(root: Path, people: int, each: int) -> Path:
    """Build a packet with one packet of ``each`` judgments for everybody."""
    dice = np.random.default_rng(0)

    def noise(path: Path, shape: tuple[int, ...], most: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, most, shape, dtype=np.uint8)).save(path)

    for split, count in (("train", 2), ("val", each)):
        for n in range(count):
            noise(root / "data" / split / f"{split}_{n:04}.png", (*SIZE[::-1], 3), 256)
            noise(root / "data" / f"{split}annot" / f"{split}_{n:04}.png", SIZE[::-1], 11)
    (root / "many.toml").write_text(BENCHMARK)
    bench = open_bench(Workspace(root / "ws", root / "data", str(root / "many.toml")))
    for method in ("ours", "crn"):
        for entry in bench.dataset.test_scenes:
            noise(bench.image_folder(method, 0) / f"{entry.name}.png", (*SIZE[::-1], 3), 256)
    content = Library().study("unlimited").model_dump()
    content["design"] |= {"judgments_per_pair": people, "packet_length": each}
    content["practice"]["count"] = content["checks"]["count"] = 0
    content["quality"]["checks_passed"] = 0
    protocol = StudyProtocol.model_validate(content)
    material = gather(bench, protocol, ["ours", "crn"], None, 0, False, None)
    return build(bench, protocol, material, None, Flags(0, 0, False, None), root / "packet").folder


def start(packet: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start the server as a user does; return it and its address."""
    command = [sys.executable, "-m", "hdbench", "study", "serve", str(packet), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"participants: (\S+)/", line):
            return process, found[1]
    raise SystemExit("the server did not start")


class Refusal(Exception):
    """An answer other than 200, or none."""


class Load:
    """Everybody at once, and what they saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        #: When each request was sent, and how long its answer took, in seconds.
        self.times: list[tuple[float, float]] = []
        self.restarts: list[float] = []
        #: Seconds of processor time of the servers, without their starts.
        self.processor = 0.0
        self.retries = 0
        self.acknowledged: dict[tuple[str, str], dict[str, Any]] = {}

    async def post(self, lines: Lines, path: str, content: Any, cookie: str) -> tuple[Any, str]:
        """Send something until it is acknowledged; return the answer and its cookie."""
        body = json.dumps(content).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {cookie}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            began = time.perf_counter()
            try:
                answer = await lines.exchange(self.port, head.encode() + body)
            except (OSError, asyncio.IncompleteReadError):
                lines.close()
                self.retries += 1
                await asyncio.sleep(random.uniform(0.2, 0.6))
                continue
            self.times.append((began, time.perf_counter() - began))
            return answer

    async def person(self, number: int) -> None:
        dice = random.Random(number)
        await asyncio.sleep(dice.uniform(0, 1))
        entry = {"participant": f"P{number}"}
        browser = {"entry": entry, "user_agent": "load", "viewport": [1366, 768]}
        lines = Lines()
        said, cookie = await self.post(lines, "/api/session", browser, "")
        for trial in said["packet"]["trials"]:
            await asyncio.sleep(dice.uniform(0.5, 1.5))
            nothing = dict.fromkeys(
                ("void", "planned_ms", "frames_planned", "frames_shown", "dropped", "shown_ms")
            )
            row = {
                **nothing,
                "trial": trial["trial"],
                "attempt": 1,
                "choice": dice.choice(("left", "right")),
                "response_ms": round(dice.uniform(500, 5000), 1),
                "input": "key",
                "refresh_hz": None,
                "at": "2030-01-02T03:04:05Z",
            }
            content = {"page": said["page"], "row": row}
            await self.post(lines, "/api/judgment", content, cookie)
            self.acknowledged[said["session"], trial["trial"]] = row
        lines.close()


class Lines:
    """A browser's connection, which is opened again when it was lost.

    A client of a few lines: a whole one would take more of the processor than the server.
    """

    def __init__(self) -> None:
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, port: int, request: bytes) -> tuple[Any, str]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = self.streams
        writer.write(request)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(field.lower().split(": ", 1) for field in fields if field)
        said = await reader.readexactly(int(headers["content-length"]))
        if status.split()[1] != "200":
            raise Refusal(f"{status}: {said.decode()}")
        return json.loads(said), headers.get("set-cookie", "").split(";")[0]

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def processor_time(process: subprocess.Popen[str]) -> float:
    """Seconds of processor time that a running process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(packet: Path, people: int, kills: int, length: float) -> Load:
    server, address = start(packet, 0)
    port = int(address.rsplit(":", 1)[1])
    load = Load(port)
    crowd = asyncio.gather(*(load.person(n) for n in range(people)))
    began = processor_time(server)
    for _ in range(kills):
        await asyncio.sleep(length / (kills + 1))
        load.processor += processor_time(server) - began
        server.kill()
        server.wait()
        load.restarts.append(time.perf_counter())
        server, _ = await asyncio.to_thread(start, packet, port)
        began = processor_time(server)
    await crowd
    load.processor += processor_time(server) - began
    server.kill()
    server.wait()
    return load


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--people", type=int, default=100)
    options.add_argument("--each", type=int, default=100, help="judgments of each person; even")
    options.add_argument("--kills", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packet = packet_of(Path(folder), chosen.people, chosen.each)
        began, busy = time.perf_counter(), time.process_time()
        load = asyncio.run(run(packet, chosen.people, chosen.kills, chosen.each))
        wall = time.perf_counter() - began
        study = open_packet(packet).study
        with reading(database_path(packet), study) as connection:
            kept = {
                (entry.session, row.trial): row.model_dump(exclude={"simulated"})
                for entry in submissions(connection, study)
                for row in entry.rows
            }
            held = Counter(
                number for (number,) in connection.execute("SELECT packet FROM sessions")
            )
            (count,) = connection.execute("SELECT count(*) FROM judgments").fetchone()
    lost = sum(key not in kept for key in load.acknowledged)
    changed = sum(kept.get(key) != row for key, row in load.acknowledged.items()) - lost
    sent, milliseconds = np.array(load.times).T * np.array([[1], [1000]])
    calm = np.all([(sent < at) | (sent > at + CALM_S) for at in load.restarts], axis=0)
    own = time.process_time() - busy
    print(
        f"{chosen.people} people, {count:,} judgments in {wall:.0f} s: {count / wall:.0f} a second"
    )
    print(f"server killed {chosen.kills} times; {load.retries} requests sent again")
    print(f"                all  {CALM_S:g} s after each restart left out")
    for share in (50, 95, 99, 99.9, 100):
        both = np.percentile(milliseconds, share), np.percentile(milliseconds[calm], share)
        print(f"  p{share:<5} {both[0]:7.1f} ms {both[1]:7.1f} ms")
    print(
        f"processor time of a judgment: {1000 * load.processor / count:.2f} ms in the server, "
        f"{1000 * own / count:.2f} ms in these 100 people"
    )
    print(f"acknowledged and lost: {lost}; changed: {changed}; doubled: {count - len(kept)}")
    print(f"packets given: {len(held)}, the most often given {max(held.values())} times")


main()
