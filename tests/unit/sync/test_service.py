"""The service on an event loop: what it waits for, what wakes it, and what it survives."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core import events as ev
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.events import Fact
from helix_ray.core.questions import PullChanges
from helix_ray.ports import Batch
from helix_ray.sync.change_log import ChangeLog
from helix_ray.sync.desk import SyncDesk
from helix_ray.sync.service import SyncService
from tests.unit.sync.worlds import KEY, World, scope

ANNA = "user-anna"
AWAY = Rejected(ErrorCode.SERVICE_UNAVAILABLE, "away")


class Plane(World):
    """Answers a service; facts are made here and taken there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.away = False
        self.service = SyncService(partial(begun, path), self.ask, 0.2, lambda: self.now)

    async def ask(self, question: Any) -> Any:
        self.asked.append(question)
        return AWAY if self.away else self._answer(question)

    def take_fact(self, affected: Any) -> None:
        """Nothing is taken by itself."""
        self.seq += 1

    async def take(self, *events: Any) -> None:
        """Take facts that end at the present seq."""
        first = self.seq - len(events) + 1
        facts = [Fact(first + i, self.now, "u", "r", event) for i, event in enumerate(events)]
        await self.service.take(Batch(tuple(facts), self.seq, self.seq))

    async def pull(self, cursor: str | None = None, wait_s: float = 0.0, seq: int | None = None) -> Any:
        """Pull as the phone."""
        at_least = self.seq if seq is None else seq
        return await self.service.pull(PullChanges("phone", cursor), ANNA, at_least, wait_s)


def begun(path: Path) -> SyncDesk:
    return SyncDesk(ChangeLog(path), KEY, 30.0)


async def started(path: Path) -> Plane:
    """A service with a phone and a task."""
    plane = Plane(path / "sync.sqlite")
    plane.enrol("phone", scope(ANNA))
    plane.set_task("task-1", ANNA)
    await plane.take()
    return plane


def completed(task_id: str) -> ev.TaskCompleted:
    return ev.TaskCompleted(task_id, 1)


def test_an_answer_is_as_of_the_seq_that_was_asked_for(tmp_path: Path) -> None:
    """It waits until the facts are taken, and says so when they do not come."""

    async def go() -> None:
        plane = await started(tmp_path)
        plane.set_task("task-1", ANNA, title="changed")
        waiting = asyncio.create_task(plane.pull())
        await asyncio.sleep(0)
        await plane.take(completed("task-1"))
        page = await waiting
        assert b"changed" in page["changes"][0]["row"]
        assert await plane.pull(seq=plane.seq + 1) is None

    asyncio.run(go())


def test_a_change_wakes_who_follows_it_and_nobody_else(tmp_path: Path) -> None:
    """Ben's device sleeps on when Anna's task changes."""

    async def go() -> None:
        plane = await started(tmp_path)
        plane.enrol("other", scope("user-ben"))
        await plane.take(ev.DeviceRenamed("other", "x"))
        page = await plane.pull()
        annas = asyncio.create_task(plane.pull(page["cursor"], 20.0))
        seq = plane.seq
        ben = PullChanges(
            "other", (await plane.service.pull(PullChanges("other"), "user-ben", seq, 0))["cursor"]
        )  # type: ignore[index]
        bens = asyncio.create_task(plane.service.pull(ben, "user-ben", seq, 20.0))
        await asyncio.sleep(0)
        plane.set_task("task-1", ANNA, title="changed")
        await plane.take(completed("task-1"))
        assert len((await annas)["changes"]) == 1
        assert not bens.done()
        del plane.devices["other"]
        plane.seq += 1
        await plane.take(ev.DeviceRevoked("other", "revoked"))
        refused = await bens
        assert isinstance(refused, Rejected)
        assert refused.code is ErrorCode.NOT_FOUND

    asyncio.run(go())


def test_a_control_plane_that_is_away_loses_nothing(tmp_path: Path) -> None:
    """The same facts are taken again, also where the first device was being read."""

    async def go() -> None:
        plane = Plane(tmp_path / "sync.sqlite")
        plane.enrol("phone", scope(ANNA))
        plane.set_task("task-1", ANNA)
        for _ in range(2):
            plane.away = True
            with pytest.raises(Refused):
                await plane.take(completed("task-1"))
            plane.away = False
        await plane.take(completed("task-1"))
        assert (await plane.pull())["rows"] == 1

    asyncio.run(go())


def test_a_failed_transaction_is_taken_again_from_the_file(tmp_path: Path, monkeypatch: Any) -> None:
    """Memory that was ahead of the file is dropped: the cursor, the sums and the rows agree again."""

    async def go() -> None:
        plane = await started(tmp_path)
        page = await plane.pull()
        plane.set_task("task-1", ANNA, title="changed")
        with monkeypatch.context() as broken:
            broken.setattr(ChangeLog, "_keep_meta", fails)
            with pytest.raises((sqlite3.OperationalError, RuntimeError)):
                await plane.take(completed("task-1"))
        plane.service.desk = begun(tmp_path / "sync.sqlite")
        await plane.take(completed("task-1"))
        later = await plane.pull(page["cursor"])
        assert [each["key"] for each in later["changes"]] == ["task-1"]
        assert later["rows"] == 1

    asyncio.run(go())


def fails(*_: Any) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def test_without_devices_no_facts_are_wanted_and_the_next_device_begins_at_the_head(tmp_path: Path) -> None:
    """After the last one was revoked one small question is asked; what happened in between is not read."""

    async def go() -> None:
        plane = await started(tmp_path)
        del plane.devices["phone"]
        plane.seq += 1
        await plane.take(ev.DeviceRevoked("phone", "revoked"))
        assert plane.service.is_idle
        assert not await plane.service.has_devices()
        plane.seq += 1_000
        plane.enrol("phone", scope(ANNA))
        assert await plane.service.has_devices()
        await plane.service.take(Batch((), plane.service.desk.cursor, plane.service.desk.cursor))
        assert plane.service.desk.cursor == plane.seq
        assert (await plane.pull())["rows"] == 1

    asyncio.run(go())
