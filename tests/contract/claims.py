"""What every ControlPlane promises, as claims that are put to each implementation through a door (doors.py).

test_control_plane.py puts them to memory and to the plane over right and over faulty links;
tests/ray/test_contract.py to a live cluster, through the gateway and through the Python API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, subject_of
from helix_ray.core.orders import (
    CancelTask,
    CreateProject,
    DeleteTask,
    DistributeTask,
    Order,
    OrderBody,
    Receipt,
    RemoveProject,
    RetryTask,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import (
    ExplainTask,
    GetProject,
    GetResult,
    GetTask,
    ListTasks,
    PlanTask,
    ReadLog,
    WaitTasks,
)
from helix_ray.plane.distribution import distribute
from helix_ray.wire.ids import new_seed
from tests.contract.doors import Json, PortDoor

TASK: Json = {"title": "claim", "type": "planning"}
PLACED: Json = {**TASK, "run": {"kind": "command", "shell": "exec sleep 600"}, "strategy": "manual"} | {
    "resources": {"cpu": 0.01}
}
PAGE = 7

Claim = Callable[[PortDoor], Awaitable[None]]


async def submitted(door: PortDoor, *specs: Json) -> list[str]:
    """Submit tasks that must be taken; return their ids."""
    ids = await door.create(specs, new_seed())
    assert ids is not None
    return ids


async def done(door: PortDoor, body: OrderBody) -> Json:
    """Carry out an order that must not be refused."""
    answer = await door.execute(body)
    assert isinstance(answer, Receipt), answer
    return answer.data


async def refused(door: PortDoor, body: OrderBody) -> ErrorCode:
    """Carry out an order that must be refused; return why."""
    answer = await door.execute(body)
    assert isinstance(answer, Rejected), answer
    return answer.code


async def asked(door: PortDoor, question: Any, wait_s: float = 0.0) -> Json:
    """Ask what must be answered."""
    answer = await door.query(question, wait_s)
    assert not isinstance(answer, Rejected), answer
    return answer


async def reads_see_writes(door: PortDoor) -> None:
    """Every question shows what an order has changed, as soon as the order is answered."""
    first, second = await submitted(door, TASK, {**TASK, "depends_on": ["#0"]})
    assert (await asked(door, GetTask(second)))["status"] == "waiting"
    await done(door, UpdateTask(first, status="completed"))
    assert (await asked(door, GetTask(second)))["status"] == "pending"
    assert (await asked(door, GetResult(first)))["status"] == "completed"
    assert (await asked(door, ReadLog(first)))["eof"]
    assert [each["id"] for each in (await asked(door, WaitTasks((first, second))))["done"]] == [first]
    await done(door, CancelTask(second))
    assert (await asked(door, ExplainTask(second)))["verdict"] == "cancelled"
    await done(door, RetryTask(second))
    assert (await asked(door, GetTask(second)))["status"] == "pending"
    await done(door, DeleteTask(second))
    for question in (GetTask(second), GetResult(second), ReadLog(second), ExplainTask(second)):
        answer = await door.query(question)
        assert isinstance(answer, Rejected)
        assert answer.code is ErrorCode.NOT_FOUND
    assert (await asked(door, WaitTasks((second,))))["unknown"] == [second]


async def orders_are_refused_by_what_is(door: PortDoor) -> None:
    """What is not there is not found, what cannot be is a conflict; and both change nothing."""
    (task_id,) = await submitted(door, TASK)
    await done(door, UpdateTask(task_id, status="completed"))
    for body in (CancelTask(task_id), RetryTask(task_id), UpdateTask(task_id, status="running")):
        assert await refused(door, body) is ErrorCode.CONFLICT
    for body in (CancelTask("task-none"), RetryTask("task-none"), DeleteTask("task-none")):
        assert await refused(door, body) is ErrorCode.NOT_FOUND
    assert await refused(door, DistributeTask("task-none", ())) is ErrorCode.NOT_FOUND
    assert await refused(door, UpdateTask(task_id, edits={"type": "unheard"})) is ErrorCode.CONFLICT
    assert (await asked(door, GetTask(task_id)))["status"] == "completed"


async def an_order_is_carried_out_once(door: PortDoor) -> None:
    """However its answer was lost on the way: none of these is refused because it was done before."""
    for number in range(20):
        name = f"claim-{new_seed()[-8:]}-{number}".lower()
        await done(door, CreateProject(name))
        assert (await asked(door, GetProject(name)))["id"] == name
        await done(door, RemoveProject(name))
        (task_id,) = await submitted(door, TASK)
        await done(door, CancelTask(task_id))
        await done(door, RetryTask(task_id))
        await done(door, DeleteTask(task_id))


async def who_waits_is_told(door: PortDoor) -> None:
    """A question that may wait is answered when there is news, else when its time is over."""
    (task_id,) = await submitted(door, TASK)
    assert (await asked(door, WaitTasks((task_id,)), 0.05))["open"] == 1
    waiting = asyncio.create_task(asked(door, WaitTasks((task_id,)), 20.0))
    # When what was asked after it has its answer, it waits; over links that reorder, it may come later.
    await asyncio.sleep(0)
    assert (await asked(door, WaitTasks((task_id,))))["open"] == 1
    await done(door, UpdateTask(task_id, status="completed", result={"value": 1}))
    (outcome,) = (await waiting)["done"]
    assert (outcome["id"], outcome["result"]) == (task_id, {"value": 1})


async def a_listing_has_everything_once(door: PortDoor) -> None:
    """Page by page, the newest first, with the number of all."""
    project = f"claim-{new_seed()}"
    ids = await submitted(door, *({**TASK, "project_id": project} for _ in range(20)))
    await done(door, CancelTask(ids[3]))
    await done(door, DeleteTask(ids[4]))
    found: list[str] = []
    while True:
        page = await asked(door, ListTasks(project_id=project, limit=PAGE, offset=len(found)))
        assert page["total"] == 19
        found += [line["id"] for line in page["tasks"]]
        if not page["tasks"]:
            break
    assert found == [task_id for task_id in reversed(ids) if task_id != ids[4]]


async def what_has_room_is_started_at_once(door: PortDoor) -> None:
    """Distributing plans, then orders: a dry run starts nothing, and a running task is reported as
    running."""

    def envelope(body: OrderBody) -> Order:
        return Order(body, door.by, "req-claim", new_seed())

    (task_id,) = await submitted(door, PLACED)
    plane = door.plane
    planned = await distribute(plane, door.by, PlanTask(task_id), envelope, dry_run=True)
    assert not isinstance(planned, Rejected)
    assert (planned[0]["fits"], planned[0]["distributed"], planned[1]) == (True, False, None)
    assert (await asked(door, GetTask(task_id)))["status"] == "pending"
    started = await distribute(plane, door.by, PlanTask(task_id), envelope)
    assert not isinstance(started, Rejected)
    assert started[0]["assigned_nodes"] == [(await asked(door, GetTask(task_id)))["assigned_worker"]]
    again = await distribute(plane, door.by, PlanTask(task_id), envelope)
    assert not isinstance(again, Rejected)
    assert again[0]["already_running"]
    await done(door, DeleteTask(task_id))
    gone = await distribute(plane, door.by, PlanTask(task_id), envelope)
    assert isinstance(gone, Rejected)
    assert gone.code is ErrorCode.NOT_FOUND


async def a_key_is_one_request(door: PortDoor) -> None:
    """The same key has the first answer, whatever has become of the task; another
    request under it is a conflict."""
    by = door.by
    (task_id,) = await submitted(door, PLACED)

    def keyed(body: OrderBody, fingerprint: str = "one") -> Order:
        return Order(body, by, "req-claim", new_seed(), f"{by.id}:{task_id}", fingerprint)

    first = await distribute(door.plane, by, PlanTask(task_id), keyed)
    await done(door, DeleteTask(task_id))
    second = await distribute(door.plane, by, PlanTask(task_id), keyed)
    assert not isinstance(first, Rejected)
    assert not isinstance(second, Rejected)
    assert first[0] == second[0]
    other = await door.plane.execute(keyed(SubmitTasks((TASK,)), "two"))
    assert isinstance(other, Rejected)
    assert other.code is ErrorCode.CONFLICT


async def facts_come_in_order_and_once(door: PortDoor) -> None:
    """A reader with a cursor gets every fact, in pieces of the size that it asks
    for, and waits for the next."""
    plane = door.plane
    start = (await plane.events(1 << 60, 1, SYSTEM)).head
    (task_id,) = await submitted(door, TASK)
    await done(door, CancelTask(task_id))
    await done(door, DeleteTask(task_id))
    seen: list[Fact] = []
    cursor = start
    while batch := (await plane.events(cursor, 2, SYSTEM)).facts:
        assert len(batch) <= 2
        seen += batch
        cursor = batch[-1].seq
    assert [fact.seq for fact in seen] == list(range(start + 1, cursor + 1))
    kinds = [type(f.event).__name__ for f in seen if subject_of(f.event) == task_id]
    assert kinds == ["TaskSubmitted", "TaskCancelled", "TaskDeleted"]
    waiting = asyncio.create_task(plane.events(cursor, 1, SYSTEM, 20.0))
    await asyncio.sleep(0)
    assert not (await plane.events(cursor, 1, SYSTEM)).facts
    await submitted(door, TASK)
    assert (await waiting).facts


def named(*claims: Claim) -> dict[str, Claim]:
    """Return claims by name."""
    return {claim.__name__: claim for claim in claims}


# What can be said to `execute` and `query` alone, so to the Python API's `order` and `ask` as well.
OF_EVERY_DOOR = named(
    reads_see_writes, orders_are_refused_by_what_is, an_order_is_carried_out_once, who_waits_is_told,
    a_listing_has_everything_once,
)  # fmt: skip
OF_THE_PORT = OF_EVERY_DOOR | named(
    what_has_room_is_started_at_once, a_key_is_one_request, facts_come_in_order_and_once
)
