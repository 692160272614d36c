"""What the reader of a log is told: text from the node, and its end from the control plane."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.answers import Answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import CancelTask, SubmitTasks
from helix_ray.core.questions import ReadItems, ReadLog
from helix_ray.core.views.tasks import ItemsView
from helix_ray.execution.log_reading import read_items, read_log
from helix_ray.testing import MemoryControlPlane

RUNNING: dict[str, Any] = {"run": {}, "assigned_worker": "worker-1", "attempt": 2, "finished_at": None}
FINISHED = RUNNING | {"finished_at": 5.0}


def told(task: dict[str, Any], kept: Answer | None, attempt: int | None = None, offset: int = 0) -> Answer:
    """Ask once, without waiting; the node answers what it keeps of whichever attempt it is asked for."""
    asked: list[int] = []

    async def read(number: int) -> Answer | None:
        asked.append(number)
        return kept

    answer = asyncio.run(read_log(ReadLog("task-1", attempt, offset), task, read, 0.0))
    assert asked in ([], [attempt or task["attempt"]])
    return answer


def piece(text: str, *, eof: bool, offset: int = 0) -> dict[str, Any]:
    end = offset + len(text)
    return {"text": text, "offset": offset, "next_offset": end, "eof": eof, "attempt": 2, "cut_bytes": 0}


@pytest.mark.parametrize(
    ("task", "attempt", "over"),
    [(RUNNING, None, False), (RUNNING, 2, False), (RUNNING, 1, True), (FINISHED, None, True)],
)
def test_a_node_that_has_nothing_is_the_end_only_once_the_attempt_is_over(
    task: dict[str, Any], attempt: int | None, over: bool
) -> None:
    """It knows nothing of an attempt that is on its way there."""
    assert told(task, piece("", eof=True), attempt) == piece("", eof=over)
    assert told(task, piece("", eof=False), attempt) == piece("", eof=False)


@pytest.mark.parametrize("text", ["", "the last line"])
def test_the_end_of_what_was_written_is_the_end(text: str) -> None:
    """The node has begun the attempt, so it knows when that is over, before the control plane does."""
    whole = piece("all of it", eof=True)
    assert told(RUNNING, whole) == whole
    rest = piece(text, eof=True, offset=3)
    assert told(RUNNING, rest, offset=3) == rest


@pytest.mark.parametrize(
    ("task", "attempt", "over", "of"),
    [(RUNNING, None, False, 0), (FINISHED, None, True, 2), (RUNNING, 2, True, 2), (RUNNING, 3, False, 3)],
)
def test_nobody_keeps_a_log_of_what_runs_nowhere(
    task: dict[str, Any], attempt: int | None, over: bool, of: int
) -> None:
    """It ends with the task, or with the attempt that was asked for; a reader of the newest is not
    bound to that of before."""
    waiting = task | {"assigned_worker": None}
    assert told(waiting, None, attempt) == {**piece("", eof=over), "attempt": of}


@pytest.mark.parametrize(("task", "over"), [(RUNNING, False), (FINISHED, True)])
def test_an_external_worker_has_no_log(task: dict[str, Any], over: bool) -> None:
    """It is empty, and ends with the task."""
    assert told(task | {"run": None}, None, 2) == piece("", eof=over)


def test_a_log_that_went_with_its_node() -> None:
    """Is refused with the worker's id; so is what the node itself refuses."""
    answer = told(FINISHED, None)
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.details["worker"]) == (ErrorCode.NOT_FOUND, "worker-1")
    refused = Rejected(ErrorCode.FORBIDDEN, "no")
    assert told(RUNNING, refused) is refused


@pytest.mark.parametrize(("task", "kept"), [(RUNNING, piece("", eof=True)), (RUNNING | {"run": None}, None)])
def test_a_follower_does_not_ask_without_a_pause(task: dict[str, Any], kept: Answer | None) -> None:
    """Who waits for more is answered after a moment where the node would say at once that there is none."""

    async def read(number: int) -> Answer | None:
        return kept

    async def asked() -> bool:
        asking = asyncio.create_task(read_log(ReadLog("task-1", None, 0), task, read, 5.0))
        for _ in range(10):
            await asyncio.sleep(0)
        early = asking.done()
        answer = await asking
        assert not isinstance(answer, Rejected)
        assert (answer["text"], answer["eof"]) == ("", False)
        return early

    assert asyncio.run(asked()) is False


@pytest.mark.parametrize(("task", "over"), [(RUNNING, False), (FINISHED, True)])
def test_items_end_as_a_log_does(task: dict[str, Any], over: bool) -> None:
    """A node that has nothing is the end once the attempt is over; one that has something knows it itself."""

    def told_of_items(data: bytes, offset: int) -> Answer:
        kept: ItemsView = {"attempt": 2, "data": data, "next_offset": offset + len(data), "eof": True}

        async def read(number: int) -> ItemsView:
            assert number == 2
            return kept

        return asyncio.run(read_items(ReadItems("task-1", None, offset), task, read, 0.0))

    assert told_of_items(b"", 0) == {"attempt": 2, "data": b"", "next_offset": 0, "eof": over}
    for data, offset in ((b"items", 0), (b"", 5)):
        assert told_of_items(data, offset) == {"attempt": 2, "data": data, "next_offset": 5, "eof": True}


def test_nothing_is_yielded_where_there_is_no_node() -> None:
    """A control plane in memory says so, and refuses tasks that it does not know."""
    plane = MemoryControlPlane()
    done = plane.give(SubmitTasks(({"title": "t", "type": "testing"},)))
    task_id = f"task-{done.data['seed']}"
    plane.give(CancelTask(task_id))
    answer = asyncio.run(plane.query(ReadItems(task_id), SYSTEM))
    assert answer == {"attempt": 0, "data": b"", "next_offset": 0, "eof": True}
    unknown = asyncio.run(plane.query(ReadItems("task-none"), SYSTEM))
    assert isinstance(unknown, Rejected)
