"""A rehearsal: simulated people, the real page, the server, and the tally of what they answered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import HdbenchError, listing
from hdbench.runtime.progress import progress
from hdbench.storage import write_atomically
from hdbench.study.analysis.tally import Tally, tally
from hdbench.study.answers.database import (
    attempts,
    database_path,
    exported,
    open_database,
    reading,
)
from hdbench.study.packet.files import RESULTS_FOLDER, SIMULATED_FILE, Packet
from hdbench.study.rehearsal.driving import Visit, chromium, visit
from hdbench.study.rehearsal.people import KINDS, Person


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal."""

    visits: list[Visit]
    found: Tally
    #: Answers that a browser sent; each was found in the database as it was sent.
    answers: int

    def lines(self) -> Iterator[str]:
        """Yield for each kind of people how many there were, completed, and were excluded."""
        reasons = {
            entry.session: "; ".join(entry.reasons)
            for entry in self.found.exclusions
            if entry.kind == "quality"
        }
        for kind in KINDS:
            own = [one for one in self.visits if one.person.kind == kind]
            out = [one for one in own if one.session in reasons]
            away = sum(not one.session for one in own)
            if own:
                yield (
                    f"  {kind:<10} {len(own)} simulated, {len(out)} excluded"
                    + (f", {away} turned away: all packets were filled" if away else "")
                    + "".join(f"\n             {reasons[one.session]}" for one in out)
                )


def rehearse(packet: Packet, people: Sequence[Person], program: Path | None) -> Rehearsed:
    """Let simulated people take part, one after the other, and return the tally of their answers.

    Their answers are in a database of their own, which a rehearsal begins anew, and afterwards in
    ``results/simulated.jsonl``. ``program`` is a browser, or None.

    Raises:
        UsageError: playwright, a browser or the server's packages are missing.
        HdbenchError: the page failed, or the database differs from what browsers sent.
    """
    from hdbench.web.serving import require_web

    require_web()
    path = database_path(packet.folder, simulated=True)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    visits = []
    with chromium(program) as browser, _served(packet) as address:
        for person in progress(people, desc="rehearsing", unit="person", delay=2):
            visits.append(visit(browser, address, packet, person))
    answers = _require_kept(packet, path, visits)
    lines = exported(path, packet.study)
    simulated = packet.folder / RESULTS_FOLDER / SIMULATED_FILE
    write_atomically(simulated, "".join(lines).encode())
    return Rehearsed(visits, tally(packet, [simulated], simulated=True), answers)


@contextlib.contextmanager
def _served(packet: Packet) -> Iterator[str]:
    """Serve a packet to simulated people on a free port; give the address."""
    import uvicorn

    from hdbench.study.server.application import Settings, application
    from hdbench.web.guard import new_token
    from hdbench.web.serving import listen

    path = database_path(packet.folder, simulated=True)
    with closing(open_database(path, packet.study, simulated=True)) as connection:
        app = application(packet, connection, Settings(new_token(), simulated=True))
        bound = listen("127.0.0.1", 0, new_token)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound.listener],), daemon=True)
        thread.start()
        try:
            yield bound.link
        finally:
            server.should_exit = True
            thread.join()
            bound.listener.close()


def _require_kept(packet: Packet, path: Path, visits: Sequence[Visit]) -> int:
    """Return how many answers were sent; raise HdbenchError unless all were kept as they were."""
    wrong, count = [], 0
    with reading(path, packet.study) as connection:
        for one in visits:
            kept = {
                (row.trial, row.attempt): row.model_dump(mode="json", exclude={"simulated"})
                for row in attempts(connection, one.session)
            }
            count += len(one.rows)
            wrong += [
                f"{one.person.name}: trial {trial}, attempt {attempt}: differs or is missing"
                for trial, attempt in sorted({*kept, *one.rows})
                if kept.get((trial, attempt)) != one.rows.get((trial, attempt))
            ]
    if wrong:
        raise HdbenchError(f"{path}: not what the browsers sent\n{listing(wrong)}")
    return count
