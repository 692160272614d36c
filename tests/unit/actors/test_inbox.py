"""Commits are bounded by the work in them, and light orders do not wait behind heavy ones."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.inbox import COMMIT_TASKS_MAX, Inbox
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CancelTask, Order, SubmitTasks
from helix_ray.core.weight import weight_of


def submit(tasks: int, **fields: Any) -> Order:
    return Order(SubmitTasks(({"title": "t", "type": "building", **fields},) * tasks), SYSTEM, "req", "seed")


def cancel() -> Order:
    return Order(CancelTask("task-1"), SYSTEM, "req", "seed")


def commits(*calls: list[Order]) -> list[list[int]]:
    """Return the weights of the calls of each commit."""

    async def fill() -> list[list[int]]:
        inbox = Inbox()
        for orders in calls:
            inbox.put(orders, asyncio.get_running_loop().create_future())
        taken = []
        while inbox:
            taken.append([call.weight for call in inbox.take()])
        return taken

    return asyncio.run(fill())


def test_a_commit_is_bounded_by_weight_and_a_larger_call_goes_alone() -> None:
    assert commits(*[[submit(500)]] * 5) == [[500, 500], [500, 500], [500]]
    assert commits([submit(3 * COMMIT_TASKS_MAX)], [submit(400)]) == [[3 * COMMIT_TASKS_MAX], [400]]


def test_light_calls_do_not_wait_behind_heavy_ones() -> None:
    """Ten bulk submits came first; the cancel goes with the first commit, and the first bulk submit as well."""
    first = commits(*[[submit(500)]] * 10, [cancel()])[0]
    assert first == [500, 1]


def test_light_calls_in_any_number_starve_no_heavy_one() -> None:
    taken = commits(*[[cancel()]] * (5 * COMMIT_TASKS_MAX), [submit(500)])
    assert taken[0][0] == 500
    assert all(sum(weights) <= COMMIT_TASKS_MAX for weights in taken)


def test_shards_and_dependencies_weigh() -> None:
    """A task with a thousand shards is a thousand tasks, and dependencies count for a part of one."""
    assert weight_of(submit(1, shards={"count": 1000})) == 1001
    assert weight_of(submit(1, depends_on=["task-1"] * 100)) == 21
