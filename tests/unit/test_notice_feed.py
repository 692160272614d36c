"""The feed of notices: every fact's, in order, with what the history knows of tasks that left memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helix_ray.config import Settings
from helix_ray.core import orders as o
from helix_ray.core.about import hears
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.questions import NoticeTasks
from helix_ray.plane.notice_feed import NoticeFeed, Notices
from helix_ray.testing import MemoryControlPlane, add_user, memory_plane
from tests.unit.core.stage import DEV, OTHER, spec


def read(plane: Any, after: int = 0) -> Notices:
    """Read all notices after a cursor."""
    return asyncio.run(NoticeFeed(plane).after(after, 1_000))


def forget_task(plane: MemoryControlPlane) -> str:
    """Make a task that the state does not know any more; return its id."""
    plane.give(o.SubmitTasks((spec(title="old"),)), SYSTEM)
    (task_id,) = plane.engine.state.tasks
    plane.give(o.CancelTask(task_id), SYSTEM)
    plane.give(o.DeleteTask(task_id), SYSTEM)
    plane.engine.state.gone.clear()
    return task_id


@pytest.fixture
def plane() -> MemoryControlPlane:
    """A plane that has had a task, which its state does not know any more."""
    made = memory_plane(Settings())
    forget_task(made)
    return made


def test_there_is_one_about_for_each_fact_that_one_sees(plane: MemoryControlPlane) -> None:
    """Who sees fewer facts gets as many abouts, of these; and nobody gets any who does not ask."""
    ann = add_user(plane, "ann", "password-1", ("developer",))
    for by in (SYSTEM, Principal("job:1", "job:1", SYSTEM.roles), ann):
        assert asyncio.run(plane.events(0, 100, by)).abouts == ()
        batch = asyncio.run(plane.events(0, 100, by, abouts=True))
        assert batch.facts
        assert len(batch.abouts) == len(batch.facts)
        assert all(hears(by, found.audience) for found in batch.abouts) or by == SYSTEM


def test_what_the_history_knows_decides_who_hears(
    plane: MemoryControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners hear of archived tasks, by one question for all of a batch, and filters see their labels."""
    second = forget_task(plane)
    asked: list[tuple[str, ...]] = []
    known = {
        "holder": None, "project_id": "p", "type": "building", "labels": {"zone": "a"}, "status": "cancelled",
        "title": "old", "traceparent": None,
    }  # fmt: skip

    async def history(question: Any, by: Principal, wait_s: float = 0.0) -> Any:
        assert isinstance(question, NoticeTasks)
        assert by == SYSTEM
        asked.append(question.task_ids)
        owners = {task_id: OTHER.id if task_id == second else DEV.id for task_id in question.task_ids}
        return {"tasks": {i: {**known, "owner": owner} for i, owner in owners.items()}, "unknown": []}

    monkeypatch.setattr(plane, "query", history)
    told = [each for each in read(plane).notices if each.event.startswith("task.")]
    assert [each.event for each in told] == ["task.created", "task.cancelled", "task.deleted"] * 2
    assert [len(task_ids) for task_ids in asked] == [2]
    for each in (told[index] for index in (1, 2, 4, 5)):
        theirs, others = (OTHER, DEV) if each.subject == second else (DEV, OTHER)
        assert hears(theirs, each.about.audience)
        assert not hears(others, each.about.audience)
        assert (each.about.labels, each.data["title"], each.data["status"]) == (
            {"zone": "a"}, "old", "cancelled"
        )  # fmt: skip


def test_what_nobody_knows_is_for_those_who_see_all(
    plane: MemoryControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted task is in no history."""

    async def history(question: NoticeTasks, by: Principal, wait_s: float = 0.0) -> Any:
        return {"tasks": {}, "unknown": [*question.task_ids]}

    monkeypatch.setattr(plane, "query", history)
    told = [each for each in read(plane).notices if each.event == "task.cancelled"]
    assert [hears(DEV, each.about.audience) for each in told] == [False]


def test_a_history_that_is_away_skips_nothing(
    plane: MemoryControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was read then, so the reader asks again from the same cursor."""

    async def history(question: Any, by: Principal, wait_s: float = 0.0) -> Any:
        return Rejected(ErrorCode.SERVICE_UNAVAILABLE, "away", {"retry_after_s": 1})

    monkeypatch.setattr(plane, "query", history)
    with pytest.raises(Refused):
        read(plane)
