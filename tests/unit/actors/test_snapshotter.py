"""A snapshot is made beside the loop, of one moment, and is the one that a start finds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors.clock import SystemClock
from actors.snapshotter import Snapshotter
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import Order, SubmitTasks
from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.journal import pages
from helix_ray.journal.sqlite import SqliteJournal

KEY = bytes(32)


def started(folder: Path) -> tuple[Engine, SqliteJournal]:
    journal = SqliteJournal(folder, KEY)
    engine = Engine(journal, Policy(), SystemClock())
    engine.recover()
    return engine, journal


def submit(engine: Engine, seed: str, tasks: int = 500) -> None:
    specs = ({"title": "a task", "type": "building"},) * tasks
    engine.execute([Order(SubmitTasks(specs), SYSTEM, "req", seed)])


def test_a_snapshot_is_of_the_moment_at_which_it_began(tmp_path: Path) -> None:
    """Orders are carried out while the child works; they are in the tail that a start folds."""
    engine, journal = started(tmp_path)
    submit(engine, "one")
    began = engine.state.seq

    async def keep() -> bool:
        kept = asyncio.create_task(Snapshotter(engine, lambda: journal).keep())
        await asyncio.sleep(0)
        submit(engine, "two", 3)
        return await kept

    assert asyncio.run(keep())
    found = journal.load_snapshot()
    assert found is not None
    assert found.seq == began
    assert len(snapshot.load(found.body).tasks) == 500
    journal.close()
    again, journal = started(tmp_path)
    assert snapshot.dump(again.state) == snapshot.dump(engine.state)
    journal.close()


def test_a_child_that_dies_leaves_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-written gets into the journal, and the next one works."""
    engine, journal = started(tmp_path)
    submit(engine, "one")
    with monkeypatch.context() as patch:
        patch.setattr(pages, "pack", lambda body: 1 / 0)
        assert not asyncio.run(Snapshotter(engine, lambda: journal).keep())
    assert journal.load_snapshot() is None
    assert asyncio.run(Snapshotter(engine, lambda: journal).keep())
    assert journal.load_snapshot() is not None
    journal.close()
