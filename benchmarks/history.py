"""Fills a data directory with the facts that a long life leaves there: the engine's own orders,
in a process of its own.

Nothing is made up: tasks are submitted, assigned to a node worker and reported completed through the engine
and the SQLite journal that the master uses; the history follows, finished tasks leave memory after the
retention time, and snapshots are kept, all when the actors would do it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from benchmarks.processes import ROOT
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import (
    ArchiveTasks,
    AttemptReport,
    Order,
    Receipt,
    RegisterWorker,
    ReportAttempts,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.specs import Run, TaskSpec
from helix_ray.engine import Engine
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from helix_ray.views.history import History
from helix_ray.wire.ids import new_seed

TASKS_PER_ORDER = 500
FACTS_PER_INGEST = 20_000
# How many tasks finish between two looks of the historian.
FOLLOW_EVERY_TASKS = 10_000
WORKER = "worker-of-before"
BOOT = "before"
NOOP: Run = {"kind": "function", "function": "helix_ray.samples:noop"}
RUN_SPEC: TaskSpec = {"title": "Test Task", "type": "building", "priority": "normal", "run": NOOP}
LIVE_SPEC: TaskSpec = {"title": "Test Task", "type": "planning", "priority": "high"}


def write(
    data_dir: Path, *, finished: int = 0, over_s: float = 0.0, retention_s: float = 0.0, live: int = 0
) -> None:
    """Write a past into a data directory, in a process of its own: memory and DuckDB's last words stay there.

    `finished` tasks ended over the last `over_s` seconds, those older than `retention_s` have left memory,
    and `live` tasks wait for somebody to do them. Raises RuntimeError with what the process said.
    """
    options = {"finished": finished, "over-s": over_s, "retention-s": retention_s, "live": live}
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.history", str(data_dir), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])} failed: {done.stderr[-2000:]}")


class PastClock:
    """A wall clock that is set: what happened long ago carries the time it happened."""

    def __init__(self) -> None:
        self.now = time.time()

    def wall(self) -> float:
        """Return epoch seconds, as set."""
        return self.now

    def monotonic(self) -> float:
        """Return the real monotonic clock."""
        return time.monotonic()


class Past:
    """Writes a data directory's past."""

    def __init__(self, engine: Engine, history: History, clock: PastClock) -> None:
        self._engine = engine
        self._history = history
        self._clock = clock

    def finish(self, count: int, over_s: float, retention_s: float) -> None:
        """Submit, run and complete tasks, spread over the last `over_s` seconds."""
        began = self._clock.now = time.time() - over_s
        self._order(
            RegisterWorker(
                "before", (), {"cpu": 2.0}, worker_id=WORKER, kind="node", node_id="node-before", boot=BOOT
            )
        )
        for done in range(0, count, TASKS_PER_ORDER):
            self._clock.now = began + over_s * done / count
            self._finish(min(TASKS_PER_ORDER, count - done))
            if done % FOLLOW_EVERY_TASKS == 0:
                self.follow(retention_s)
        self._clock.now = time.time()
        self.follow(retention_s)

    def submit_live(self, count: int) -> None:
        """Submit tasks that wait for somebody to do them."""
        self._clock.now = time.time()
        for done in range(0, count, TASKS_PER_ORDER):
            self._submit(LIVE_SPEC, min(TASKS_PER_ORDER, count - done))

    def follow(self, retention_s: float) -> None:
        """Take the journal into the history and let go of what finished longer than `retention_s` ago."""
        while facts := self._engine.journal.read_after(self._history.cursor, FACTS_PER_INGEST):
            self._history.ingest(facts)
        bounds = ArchiveTasks(self._history.cursor, self._clock.now - retention_s)
        while self._order(bounds).data["archived"]:
            pass

    def _finish(self, count: int) -> None:
        ids = self._submit(RUN_SPEC, count)
        self._order(StartAttempts(tuple((task_id, WORKER) for task_id in ids)))
        result = {"success": True, "value": None}
        reports = tuple(AttemptReport(task_id, 1, "completed", result, duration_s=0.0) for task_id in ids)
        self._order(ReportAttempts(WORKER, BOOT, reports))

    def _submit(self, spec: TaskSpec, count: int) -> Sequence[str]:
        seed = new_seed()
        self._order(SubmitTasks((spec,) * count), seed)
        return task_ids(seed, count)

    def _order(self, body: OrderKind[Data], seed: str = "") -> Receipt[Data]:
        [answer] = self._engine.execute([Order(body, SYSTEM, "req-before", seed or new_seed())])
        if isinstance(answer, Rejected):
            raise RuntimeError(f"{type(body).__name__}: {answer.message} {answer.details}")
        if self._engine.snapshot_due():
            self._engine.save_snapshot()
        return cast("Receipt[Data]", answer)


@contextmanager
def past(data_dir: Path) -> Iterator[Past]:
    """Open a data directory to write its past; it is closed without a snapshot, as by a crash."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_or_create_key(data_dir, HEAD_KEY_FILE)
    journal = SqliteJournal(data_dir, key.secrets[key.current])
    history = History(data_dir / "history.duckdb")
    clock = PastClock()
    engine = Engine(journal, Settings(data_dir=data_dir).policy(), clock)
    engine.recover()
    try:
        yield Past(engine, history, clock)
    finally:
        history.close()
        journal.close()


def main() -> int:
    """Write the past that the arguments describe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--finished", type=int, default=0)
    parser.add_argument("--over-s", type=float, default=0.0)
    parser.add_argument("--retention-s", type=float, default=0.0)
    parser.add_argument("--live", type=int, default=0)
    given = parser.parse_args()
    with past(given.data_dir) as before:
        if given.finished:
            before.finish(given.finished, given.over_s, given.retention_s)
        before.submit_live(given.live)
    return 0


if __name__ == "__main__":
    sys.exit(main())
