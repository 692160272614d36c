"""Fills a data directory with acts that have a record in the audit, in a process of its own.

The facts are those of refused sign-ins and requests, of reads of results, and of quotas; they go through the
journal and the history that the server uses, in the steps in which it would take them; old facts move to
segments, and there is a snapshot, as in a directory that a server has written. Users, addresses and
projects repeat as they do in a company; ids of tasks and requests do not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from benchmarks.processes import ROOT
from helix_ray.config import Settings
from helix_ray.core import snapshot
from helix_ray.core.events import DataRead, Event, Fact, QuotaSet, RequestsRefused
from helix_ray.core.evolve import evolve
from helix_ray.core.origin import Origin
from helix_ray.core.state import State
from helix_ray.journal.sealing import Sealed, write_segment
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from helix_ray.views.history import History
from helix_ray.wire.ids import new_seed

DAYS = 30
DAY_S = 86_400.0
USERS, PROJECTS = 1_000, 200
FACTS_PER_STEP = 20_000
# Only facts before a snapshot move to segments.
FACTS_PER_SNAPSHOT = 100_000
AGENTS = ("helix-ray/1.0", "curl/8.5.0", "python-httpx/0.27", "Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0")
# In a hundred acts: sign-ins that were refused, other refusals, and quotas; the others are reads.
SIGN_INS, REFUSALS, QUOTAS = 30, 15, 5


def write(data_dir: Path, records: int) -> None:
    """Write so many records in a process of its own; raise RuntimeError with what it said."""
    command = [sys.executable, "-m", "benchmarks.audited", str(data_dir), str(records)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])} failed: {done.stderr[-2000:]}")


def user_id(number: int) -> str:
    """Return the id of a user."""
    return f"user-{number:026d}"


def acts(count: int) -> Iterator[Fact]:
    """Yield facts of the last days, the same ones for the same count but for their ids and times."""
    chance = random.Random(count)
    began = time.time() - DAYS * DAY_S
    origins = [
        [
            Origin(f"10.{n % 250}.{n // 250}.{d}", f"session-{new_seed()}", agent)
            for d, agent in enumerate(AGENTS)
        ]
        for n in range(USERS)
    ]
    for seq in range(1, count + 1):
        number = min(int(chance.paretovariate(0.3)), USERS) - 1 if seq % 2 else chance.randrange(USERS)
        origin = origins[number][chance.randrange(len(AGENTS))]
        at = began + DAYS * DAY_S * seq / count
        yield Fact(seq, at, user_id(number), f"req-{new_seed()}", _act(chance), origin)


def _act(chance: random.Random) -> Event:
    drawn = chance.randrange(100)
    if drawn < SIGN_INS:
        return RequestsRefused(f"person{chance.randrange(USERS)}", "login", "login")
    if drawn < SIGN_INS + REFUSALS:
        return RequestsRefused(f"task-{new_seed()}", "forbidden", "ListUsers")
    if drawn < SIGN_INS + REFUSALS + QUOTAS:
        return QuotaSet(f"project-{chance.randrange(PROJECTS)}", {"cpu": float(chance.randrange(64))})
    return DataRead("results", 2, [f"task-{new_seed()}", f"task-{new_seed()}"])


def main() -> int:
    """Write the records that the arguments describe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("records", type=int)
    given = parser.parse_args()
    given.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_or_create_key(given.data_dir, HEAD_KEY_FILE)
    journal = SqliteJournal(given.data_dir, key.secrets[key.current])
    history = History(given.data_dir / "history.duckdb")
    state, source = State(), acts(given.records)
    with ProcessPoolExecutor(1, get_context("spawn")) as beside:
        sealer = SealedBeside(journal, beside, Settings(data_dir=given.data_dir))
        while facts := list(islice(source, FACTS_PER_STEP)):
            journal.append(facts)
            history.ingest(facts)
            for fact in facts:
                evolve(state, fact)
            state.changed.clear()
            if state.seq % FACTS_PER_SNAPSHOT == 0 or len(facts) < FACTS_PER_STEP:
                journal.save_snapshot(Snapshot(state.seq, snapshot.FOLD_VERSION, snapshot.parts(state)))
            sealer.move_if_due()
        sealer.finish()
    history.close()
    journal.close()
    return 0


class SealedBeside:
    """Moves old facts to segments, as the server does, and writes these in a process beside."""

    def __init__(self, journal: SqliteJournal, beside: ProcessPoolExecutor, settings: Settings) -> None:
        self._journal = journal
        self._beside = beside
        self._settings = settings
        self._path = settings.data_dir / FILE_NAME
        self._written: Future[Sealed] | None = None

    def move_if_due(self) -> None:
        """Begin with the next segment where the one before is written, if one is due."""
        if self._written is not None:
            if not self._written.done():
                return
            self._adopt(self._written)
        keep = self._settings.journal_keep_s, self._settings.journal_keep_bytes
        first = self._journal.sealing_due(*keep, time.time())
        self._written = None if first is None else self._beside.submit(write_segment, self._path, first)

    def finish(self) -> None:
        """Move all that is due."""
        self.move_if_due()
        while self._written is not None:
            wait([self._written])
            self.move_if_due()

    def _adopt(self, written: Future[Sealed]) -> None:
        self._journal.adopt(written.result())
        while self._journal.clear_some():
            pass


if __name__ == "__main__":
    sys.exit(main())
