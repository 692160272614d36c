"""Fills a data directory with the facts that a long life leaves there: the engine's own orders, in this process.

Nothing is made up: tasks are submitted, assigned to a node worker and reported completed through the engine and the
SQLite journal that the master uses; snapshots are kept when the master would keep them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.master import HEAD_KEY_FILE
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import (
    AttemptReport,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    ReportAttempts,
    RetireTasks,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.engine import Engine
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import load_or_create_key
from helix_ray.views.history import History
from helix_ray.wire.ids import new_seed

TASKS_PER_ORDER = 500
FACTS_PER_INGEST = 20_000
WORKER = "worker-of-before"
BOOT = "before"
NOOP = {"kind": "function", "function": "helix_ray.samples:noop"}
RUN_SPEC: dict[str, Any] = {"title": "Test Task", "type": "building", "priority": "normal", "run": NOOP}
LIVE_SPEC: dict[str, Any] = {"title": "Test Task", "type": "planning", "priority": "high"}


class PastClock:
    """A wall clock that is set: what happened long ago carries the time it happened."""

    def __init__(self, seconds_ago: float) -> None:
        self.now = time.time() - seconds_ago

    def wall(self) -> float:
        """Return epoch seconds, as set."""
        return self.now

    def monotonic(self) -> float:
        """Return the real monotonic clock."""
        return time.monotonic()


class Past:
    """Writes a data directory's past."""

    def __init__(self, data_dir: Path, engine: Engine, clock: PastClock) -> None:
        self._data_dir = data_dir
        self._engine = engine
        self._clock = clock

    def finish(self, count: int, over_s: float) -> None:
        """Submit, run and complete tasks, spread over the last `over_s` seconds."""
        self._order(RegisterWorker("before", (), {"cpu": 2.0}, WORKER, "node", "node-before", BOOT))
        began = self._clock.now = time.time() - over_s
        for done in range(0, count, TASKS_PER_ORDER):
            self._clock.now = began + over_s * done / count
            ids = self._submit(RUN_SPEC, min(TASKS_PER_ORDER, count - done))
            self._order(StartAttempts(tuple((task_id, WORKER) for task_id in ids)))
            reports = tuple(
                AttemptReport(task_id, 1, "completed", {"success": True, "value": None}, duration_s=0.0)
                for task_id in ids
            )
            self._order(ReportAttempts(WORKER, BOOT, reports))

    def submit_live(self, count: int) -> None:
        """Submit tasks that wait for somebody to do them."""
        self._clock.now = time.time()
        for done in range(0, count, TASKS_PER_ORDER):
            self._submit(LIVE_SPEC, min(TASKS_PER_ORDER, count - done))

    def follow(self, retention_s: float) -> None:
        """Follow the journal into the history and retire what is older than `retention_s`, as the historian does."""
        history = History(self._data_dir / "history.duckdb")
        try:
            while facts := self._engine.journal.read_after(history.cursor, FACTS_PER_INGEST):
                history.ingest(facts)
            self._clock.now = time.time()
            bounds = RetireTasks(history.cursor, self._clock.now - retention_s)
            while self._order(bounds).data["retired"]:
                pass
        finally:
            history.close()

    def _submit(self, spec: dict[str, Any], count: int) -> Sequence[str]:
        seed = new_seed()
        self._order(SubmitTasks((spec,) * count), seed)
        return task_ids(seed, count)

    def _order(self, body: OrderBody, seed: str = "") -> Receipt:
        [answer] = self._engine.execute([Order(body, SYSTEM, "req-before", seed or new_seed())])
        if isinstance(answer, Rejected):
            raise RuntimeError(f"{type(body).__name__}: {answer.message} {answer.details}")
        if self._engine.snapshot_due():
            self._engine.save_snapshot()
        return answer


@contextmanager
def past(data_dir: Path) -> Iterator[Past]:
    """Open a data directory to write its past; it is closed without a snapshot, as by a crash."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_or_create_key(data_dir, HEAD_KEY_FILE)
    journal = SqliteJournal(data_dir, key.secrets[key.current])
    clock = PastClock(0.0)
    engine = Engine(journal, Settings(data_dir=data_dir).policy(), clock)
    engine.recover()
    try:
        yield Past(data_dir, engine, clock)
    finally:
        journal.close()
