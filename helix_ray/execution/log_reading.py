"""Reads what an attempt has written or yielded: the node has it, and the control plane knows whether more
will come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.questions import ReadItems, ReadLog
from helix_ray.core.views.tasks import ItemsView, LogView, TaskView

UNASSIGNED_WAIT_S = 0.25
"""How long a follower waits, in seconds, before it looks again for the node of a task that has none."""

AGAIN_S = 0.05
"""The same, where the node has no such attempt although it is not over."""

Piece = TypeVar("Piece", LogView, ItemsView)
Read: TypeAlias = Callable[[int], Awaitable[Piece | Rejected | None]]


async def read_log(
    question: ReadLog, task: TaskView, read: Read[LogView], wait_s: float
) -> LogView | Rejected:
    """Return a piece of the log of a task, whose view was read before; `read` asks the
    node that stores the output.

    `eof` is true when the attempt has ended and this is the end of its output. Without new output the answer
    may take `wait_s` seconds.
    """

    def nothing(attempt: int, over: bool) -> LogView:
        at = question.offset
        return {
            "text": "", "offset": at, "next_offset": at, "attempt": attempt, "eof": over, "cut_bytes": 0
        }  # fmt: skip

    return await _read(question, task, read, nothing, wait_s)


async def read_items(
    question: ReadItems, task: TaskView, read: Read[ItemsView], wait_s: float
) -> ItemsView | Rejected:
    """Return a piece of what a task has yielded, as `read_log` does of its output."""

    def nothing(attempt: int, over: bool) -> ItemsView:
        return {"data": b"", "next_offset": question.offset, "attempt": attempt, "eof": over}

    return await _read(question, task, read, nothing, wait_s)


async def _read(
    question: ReadLog | ReadItems,
    task: TaskView,
    read: Read[Piece],
    nothing: Callable[[int, bool], Piece],
    wait_s: float,
) -> Piece | Rejected:
    finished = task["finished_at"] is not None
    if task["run"] is None or task["assigned_worker"] is None:
        attempt, over = await _of_no_node(question.attempt, task, wait_s, finished=finished)
        return nothing(attempt, over)
    attempt = question.attempt or task["attempt"]
    piece = await read(attempt)
    if piece is None:
        where = {"id": question.task_id, "worker": task["assigned_worker"]}
        return Rejected(
            ErrorCode.NOT_FOUND, "The output was stored on a node that has left the cluster", where
        )
    if isinstance(piece, Rejected) or finished or attempt < task["attempt"]:
        return piece
    if piece["eof"] and not piece["next_offset"]:
        # Nothing was written: perhaps the node has not started the attempt.
        await _pause(min(wait_s, AGAIN_S))
        return nothing(attempt, False)
    return piece


async def _of_no_node(
    named: int | None, task: TaskView, wait_s: float, *, finished: bool
) -> tuple[int, bool]:
    """Return which attempt a reader has, and whether it is over; a named attempt has ended if its task is
    not on a node any more."""
    gone = task["assigned_worker"] is None and 0 < (named or 0) <= task["attempt"]
    over = finished or gone
    await _pause(0.0 if over else min(wait_s, UNASSIGNED_WAIT_S))
    # A reader of the newest attempt must not stay with one that has ended.
    return named or (task["attempt"] if finished else 0), over


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
