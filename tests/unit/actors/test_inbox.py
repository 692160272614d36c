"""Commits are bounded by the work in them, and light orders do not wait behind heavy ones."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.inbox import COMMIT_TASKS_MAX, Inbox
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import (
    AttemptReport,
    CancelTask,
    Order,
    Receipt,
    ReportAttempts,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.weight import LIGHT_TASKS_MAX


def submit(tasks: int, **fields: Any) -> Order:
    return Order(SubmitTasks(({"title": "t", "type": "building", **fields},) * tasks), SYSTEM, "req", "seed")


def edit() -> Order:
    return Order(UpdateTask("task-1", edits={"title": "t"}), SYSTEM, "req", "seed")


def commits(*calls: list[Order], orders_max: int = 10**9) -> list[list[int]]:
    """Return the weights of the orders of each commit, of which each carries out so many orders at most."""

    async def drive() -> list[list[int]]:
        inbox = Inbox()
        futures = []
        for orders in calls:
            futures.append(asyncio.get_running_loop().create_future())
            inbox.put(orders, futures[-1])
        taken = []
        while inbox:
            come = inbox.next()
            done = [order for call in come for order in call.left()][:orders_max]
            inbox.answer(come, [Receipt(order.work(), {}) for order in done])
            taken.append([order.work() for order in done])
        for orders, future in zip(calls, futures, strict=True):
            assert [answer.seq for answer in future.result()] == [order.work() for order in orders]
        return taken

    return asyncio.run(drive())


def test_a_commit_is_bounded_by_weight_and_a_larger_call_goes_alone() -> None:
    assert commits(*[[submit(500)]] * 5) == [[500, 500], [500, 500], [500]]
    assert commits([submit(3 * COMMIT_TASKS_MAX)], [submit(400)]) == [[3 * COMMIT_TASKS_MAX], [400]]


def test_light_calls_do_not_wait_behind_heavy_ones() -> None:
    """Ten bulk submits came first; the edit goes with the first commit, and the first bulk submit as well."""
    first = commits(*[[submit(500)]] * 10, [edit()])[0]
    assert first == [500, 1]


def test_light_calls_in_any_number_starve_no_heavy_one() -> None:
    taken = commits(*[[edit()]] * (5 * COMMIT_TASKS_MAX), [submit(500)])
    assert taken[0][0] == 500
    assert all(sum(weights) <= COMMIT_TASKS_MAX for weights in taken)


def test_what_a_commit_had_no_room_for_comes_later_in_its_order() -> None:
    """However few orders a commit carries out, light and heavy calls take turns, and
    every call gets its answers."""
    taken = commits([submit(500)] * 3, *[[edit()]] * 3, orders_max=1)
    assert taken == [[500], [1], [500], [1], [500], [1]]


def test_shards_and_dependencies_weigh() -> None:
    """A task with a thousand shards is a thousand tasks, and dependencies count for a part of one."""
    assert submit(1, shards={"count": 1000}).work() == 1001
    assert submit(1, depends_on=["task-1"] * 100).work() == 21
    assert submit(1, depends_on=["task-1"] * 100, shards={"count": 9}).work() == 10 + 10 * 100 // 5


def test_what_may_reach_many_others_is_not_light() -> None:
    """A gateway does not know what waits for a task that ends; an edit, or progress, ends nothing."""
    assert Order(CancelTask("task-1"), SYSTEM, "req", "seed").work() > LIGHT_TASKS_MAX
    assert Order(UpdateTask("task-1", "completed"), SYSTEM, "req", "seed").work() > LIGHT_TASKS_MAX
    assert edit().work() == 1


def test_long_texts_weigh() -> None:
    """To write them into the journal takes time as well; what every task has is free."""
    assert submit(1, description="x" * 20_000).work() == 1 + 9
    assert submit(1, run={"kind": "command", "argv": ["x"], "command": "x" * 10_000}).work() == 1 + 4
    assert submit(10, description="x" * 100).work() == 10
    report = AttemptReport("task-1", 1, "completed", {"success": True, "output": "x" * 64_000})
    assert Order(ReportAttempts("worker-1", "boot", (report,) * 3), SYSTEM, "req", "seed").work() == 3 * 32
