"""Reads the output of an attempt: the node has the output, and the control plane
knows whether more will come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.questions import ReadLog
from helix_ray.core.views.tasks import LogView, TaskView

UNASSIGNED_WAIT_S = 0.25
"""How long a follower waits, in seconds, before it looks again for the node of a task that has none."""

AGAIN_S = 0.05
"""The same, where the node has no such attempt although it is not over."""

Read = Callable[[int], Awaitable[LogView | Rejected | None]]


async def read_log(question: ReadLog, task: TaskView, read: Read, wait_s: float) -> LogView | Rejected:
    """Return a piece of the log of a task, whose view was read before; `read` asks the
    node that stores the output.

    `eof` is true when the attempt has ended and this is the end of its output. Without new output the answer
    may take `wait_s` seconds.
    """
    finished = task["finished_at"] is not None
    if task["run"] is None or task["assigned_worker"] is None:
        return await _of_no_node(question, task, wait_s, finished=finished)
    attempt = question.attempt or task["attempt"]
    piece = await read(attempt)
    if piece is None:
        where = {"id": question.task_id, "worker": task["assigned_worker"]}
        return Rejected(ErrorCode.NOT_FOUND, "The log was stored on a node that has left the cluster", where)
    if isinstance(piece, Rejected) or finished or attempt < task["attempt"]:
        return piece
    if piece["eof"] and not piece["text"] and not question.offset:
        # Nothing was written: perhaps the node has not started the attempt.
        await _pause(min(wait_s, AGAIN_S))
        return {**piece, "eof": False}
    return piece


async def _of_no_node(question: ReadLog, task: TaskView, wait_s: float, *, finished: bool) -> LogView:
    """Return an empty piece; a named attempt has ended if its task is not on a node any more."""
    gone = task["assigned_worker"] is None and 0 < (question.attempt or 0) <= task["attempt"]
    over = finished or gone
    await _pause(0.0 if over else min(wait_s, UNASSIGNED_WAIT_S))
    # A reader of the newest attempt must not stay with one that has ended.
    attempt = question.attempt or (task["attempt"] if finished else 0)
    offset = question.offset
    return {
        "text": "",
        "offset": offset,
        "next_offset": offset,
        "attempt": attempt,
        "eof": over,
        "cut_bytes": 0,
    }


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
