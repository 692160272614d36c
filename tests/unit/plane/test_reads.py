"""Reads reach the audit off the way of answers: gathered, bounded, and none without a trace."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import NoteReads, Order, Receipt
from helix_ray.core.origin import Origin
from helix_ray.core.questions import GetResult, GetTask, ListAudit
from helix_ray.core.reads import Read
from helix_ray.plane import reads
from helix_ray.plane.reads import IDS_MAX, WAITING_MAX, Gathering, ReadDesk

ADA = Principal("user-ada", "ada", ("developer",), session="sess-1")
FROM = Origin("192.0.2.7", "sess-1", "curl/8")
FULL = Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The disk is full")


class Control:
    """Takes orders, or refuses them while `full`."""

    def __init__(self) -> None:
        self.full = False
        self.taken: list[Order[Any]] = []
        self.came = asyncio.Event()

    async def execute(self, order: Order[Any]) -> Any:
        self.came.set()
        if self.full:
            return FULL
        self.taken.append(order)
        return Receipt(len(self.taken), {})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what was gathered in the next turn of the loop."""
    monkeypatch.setattr(reads, "SENT_EVERY_S", 0.0)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def said(control: Control) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Return reader, class, count and ids of each order."""
    bodies = [order.body for order in control.taken]
    assert all(isinstance(body, NoteReads) for body in bodies)
    return [(body.reader, body.read, body.count, body.ids) for body in bodies]


@in_loop
async def test_many_reads_of_one_reader_are_one_order() -> None:
    """With the first request and the reader's origin; another reader's are another."""
    control = Control()
    desk = ReadDesk(control, {"results"})  # type: ignore[arg-type]
    for name in ("task-1", "task-2", "task-1"):
        assert desk.has(GetResult(name))
        await desk.note(GetResult(name), {"id": name}, ADA, f"req-{name}", FROM)
    await desk.note(GetResult("task-9"), {"id": "task-9"}, Principal("user-bob"))
    assert control.taken == []
    await control.came.wait()
    await desk.close()
    assert said(control) == [
        ("user-ada", "results", 3, ("task-1", "task-2")),
        ("user-bob", "results", 1, ("task-9",)),
    ]
    assert (control.taken[0].origin, control.taken[0].request_id) == (FROM, "req-task-1")


@in_loop
async def test_what_the_policy_leaves_out_costs_nothing() -> None:
    """Neither it nor what the system reads for itself is an order."""
    control = Control()
    desk = ReadDesk(control, {"results"})  # type: ignore[arg-type]
    assert not desk.has(GetTask("task-1"))
    await desk.note(GetResult("task-1"), {"id": "task-1"}, SYSTEM)
    await desk.close()
    assert control.taken == []


@in_loop
async def test_a_full_disk_delays_records_and_loses_none() -> None:
    """Reads go on without a disk; their records follow when there is one."""
    control = Control()
    control.full = True
    desk = ReadDesk(control, {"results"})  # type: ignore[arg-type]
    await desk.note(GetResult("task-1"), {"id": "task-1"}, ADA)
    await control.came.wait()
    await desk.note(GetResult("task-2"), {"id": "task-2"}, ADA)
    control.full = False
    await desk.close()
    assert sorted(ids for _, _, _, ids in said(control)) == [("task-1",), ("task-2",)]


@in_loop
async def test_a_read_of_the_audit_waits_for_its_record() -> None:
    """Where it cannot be recorded it does not happen."""
    control = Control()
    desk = ReadDesk(control, {"audit"})  # type: ignore[arg-type]
    await desk.note(ListAudit(user="user-bob"), {"rows": []}, ADA, "req-1", FROM)
    assert [order.body.asked for order in control.taken] == ["user=user-bob"]
    control.full = True
    with pytest.raises(Refused) as refused:
        await desk.note(ListAudit(), {"rows": []}, ADA)
    assert refused.value.rejected is FULL


AUDITOR = Principal("user-eve", "eve", ("auditor",), session="sess-2")


class Searched(Control):
    """Answers a search when told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.found = asyncio.Event()

    async def query(self, question: Any, by: Principal, wait_s: float = 0.0) -> Any:
        await self.found.wait()
        return self.answer


@in_loop
async def test_the_record_is_written_while_the_audit_is_searched() -> None:
    """The answer waits for both, and there is none where either is missing."""
    control = Searched({"rows": []})
    desk = ReadDesk(control, {"audit"})  # type: ignore[arg-type]
    search = asyncio.ensure_future(desk.query(ListAudit(user="user-bob"), AUDITOR))
    await control.came.wait()
    assert [order.body.asked for order in control.taken] == ["user=user-bob"]
    assert not search.done()
    control.found.set()
    assert await search == {"rows": []}
    control.full = True
    with pytest.raises(Refused) as refused:
        await desk.query(ListAudit(), AUDITOR)
    assert refused.value.rejected is FULL
    control.answer = Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The history is being rebuilt")
    assert await desk.query(ListAudit(), AUDITOR) is control.answer
    assert len(control.taken) == 1


@in_loop
async def test_what_depends_on_the_answer_is_recorded_after_it() -> None:
    """Pages of followers, and searches of those who may not search and whom the control plane lets."""
    control = Searched({"rows": []})
    control.found.set()
    desk = ReadDesk(control, {"audit"})  # type: ignore[arg-type]
    assert await desk.query(ListAudit(after=3), AUDITOR) == {"rows": []}
    assert await desk.query(GetTask("task-1"), AUDITOR) == {"rows": []}
    assert control.taken == []
    assert await desk.query(ListAudit(), ADA) == {"rows": []}
    assert len(control.taken) == 1
    control.answer = Rejected(ErrorCode.FORBIDDEN, "Insufficient permissions")
    assert await desk.query(ListAudit(), ADA) is control.answer
    assert len(control.taken) == 1


@in_loop
async def test_a_master_that_stays_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of the audit is refused within a second."""
    monkeypatch.setattr(reads, "NOTED_S_MAX", 0.0)

    class Away(Control):
        async def execute(self, order: Order[Any]) -> Any:
            await asyncio.Event().wait()

    desk = ReadDesk(Away(), {"audit"})  # type: ignore[arg-type]
    with pytest.raises(Refused) as refused:
        await desk.note(ListAudit(), {"rows": []}, ADA)
    assert refused.value.rejected.code is ErrorCode.SERVICE_UNAVAILABLE


def test_every_thing_is_named() -> None:
    """Beyond what one order has, another one begins."""
    gathering = Gathering()
    names = tuple(f"task-{n}" for n in range(2 * IDS_MAX + 1))
    gathering.add(Read("results", names), ADA, "req-1", FROM)
    taken, gaps = gathering.take()
    assert [each.count for each in taken] == [IDS_MAX, IDS_MAX, 1]
    assert [name for each in taken for name in each.ids] == [*names]
    assert not gaps
    assert not gathering


@in_loop
async def test_beyond_the_queue_reads_are_counted() -> None:
    """The gap is a fact of its own, with its count, once there is room again."""
    control = Control()
    desk = ReadDesk(control, {"logs", "results"})  # type: ignore[arg-type]
    for n in range(WAITING_MAX + 3):
        desk._gathering.add(Read("logs", ("task-1",)), Principal(f"user-{n}"), "req", Origin())
    control.full = True
    await desk.note(GetResult("task-1"), {"id": "task-1"}, ADA)
    await control.came.wait()
    control.full = False
    await desk.close()
    assert len(control.taken) == WAITING_MAX + 2
    gaps = [order for order in control.taken if order.body.gap]
    assert [(order.body.read, order.body.count) for order in gaps] == [("logs", 3), ("results", 1)]
