"""Which records of the audit are gone is explained by facts, whatever the clock was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.pruner import UNSAID_S_MAX, Pruner
from helix_ray.config import Settings
from helix_ray.core import events as ev
from helix_ray.core.audit.retention import Removals
from helix_ray.core.orders import NoteRetention, SetQuota
from helix_ray.core.questions import ListAudit
from helix_ray.testing import ManualClock, MemoryControlPlane
from helix_ray.views.history import History

KEEP_S = 1e6


class World:
    """A control plane with a clock that is set by hand, and the history that follows it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.plane = MemoryControlPlane(clock=self.clock)
        self.history = History(folder / "history.duckdb")
        self._settings = Settings(data_dir=folder, audit_keep_s=KEEP_S)
        self.plane.give(NoteRetention(KEEP_S, built_anew=True))
        self.start()

    def start(self) -> None:
        """Begin anew, as after a restart: no fact was taken in yet."""
        self.pruner = Pruner(self.history, self.plane, self._settings, call, self.clock.wall)

    def act(self) -> None:
        self.plane.give(SetQuota("p", {}, 1.0 + self.history.cursor))

    def follow(self) -> None:
        while facts := self.plane.engine.facts(self.history.cursor, 1000).facts:
            self.history.ingest(facts)
            self.pruner.took(facts)

    def left(self) -> int:
        """Let the pruner work and the history follow, some times; return how many records are left."""
        for _ in range(3):
            self.follow()
            asyncio.run(self.pruner.prune(at_head=True))
        return self.history.audit(ListAudit())["total"]

    def gone_unexplained(self) -> list[int]:
        """Return facts whose records are gone, of which the facts do not say that they may be."""
        rows = self.history.audit(ListAudit(limit=1000))["rows"] or ()
        kept = {row["seq"] for row in rows}
        facts = self.plane.engine.facts(0, 1000).facts
        removals = Removals()
        removals.take(facts)
        return [
            fact.seq
            for fact in facts
            if not isinstance(fact.event, ev.AuditPruned | ev.ReceiptKept)
            and fact.seq not in kept
            and not removals.include(fact.at, fact.seq, self.clock.wall())
        ]

    def said(self) -> int:
        """Return how many facts say only how late it is."""
        return sum(isinstance(fact.event, ev.AuditPruned) for fact in self.plane.engine.facts(0, 1000).facts)


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.history.close()


def test_a_clock_that_was_ahead_is_in_the_journal_before_it_removes_anything(world: World) -> None:
    """Nothing else was recorded meanwhile, and the server was started anew."""
    for _ in range(3):
        world.act()
    assert world.left() == 4
    for restarted in (False, True):
        if restarted:
            world.start()
        world.clock.advance(KEEP_S + 10.0)
        assert world.left() == 0
        world.clock.advance(-KEEP_S - 10.0)
        assert (world.gone_unexplained(), world.said()) == ([], 1 + restarted)
        world.act()
        assert world.left() == 1


def test_the_time_is_said_only_where_it_removes_something(world: World) -> None:
    """Newer facts say it as well, and records that are not too old need none."""
    world.act()
    world.clock.advance(UNSAID_S_MAX + 10.0)
    assert (world.left(), world.said()) == (2, 0)
    world.clock.advance(KEEP_S - UNSAID_S_MAX - 11.0)
    world.act()
    assert (world.left(), world.said()) == (3, 0)
    world.clock.advance(10.0)
    # By the clock two are too old, by the newest fact none is, and that was recorded only just now.
    assert (world.left(), world.said()) == (3, 0)
    world.act()
    assert (world.left(), world.said()) == (2, 0)
