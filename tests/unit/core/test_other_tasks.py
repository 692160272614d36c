"""A task is shown without the ids of tasks that its reader may not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.about import about
from helix_ray.core.access import Principal
from helix_ray.core.answers import answer
from helix_ray.core.notices import notice_of
from helix_ray.core.views.other_tasks import ANOTHER_TASK, error_without
from tests.unit.core.stage import ADMIN, DEV, VIEWER, Stage, spec

BOUND = replace(DEV, token="token-1", projects=("p-1",))
BOUND_ADMIN = replace(ADMIN, token="token-2", projects=("p-1",))


def submitted(stage: Stage, *specs: Any) -> list[str]:
    """Submit tasks in one order and return their ids."""
    return list(stage.submit(*specs))


@pytest.fixture
def pair(stage: Stage) -> tuple[str, str, str]:
    """A task of p-1 that waits for one of p-1 and one of p-2: their ids, the waiting one last."""
    near, far = submitted(stage, spec(project_id="p-1"), spec(project_id="p-2"))
    (waiting,) = submitted(stage, spec(project_id="p-1", depends_on=[far, near]))
    return near, far, waiting


def seen(stage: Stage, question: q.Question, by: Principal) -> Any:
    """Return an answer of the state of now."""
    return answer(stage.picture(), question, by)


@pytest.mark.parametrize("by", [BOUND, BOUND_ADMIN], ids=["of its owner", "of an administrator"])
def test_a_bound_token_reads_no_ids_of_other_projects(
    stage: Stage, pair: tuple[str, str, str], by: Principal
) -> None:
    """In no field of the task, of its end, or of the wait for it; those of its project it reads."""
    near, far, waiting = pair
    view = seen(stage, q.GetTask(waiting), by)
    assert view["waits_for"] == view["depends_on"] == [near, ANOTHER_TASK]
    stage.give(o.CancelTask(far), DEV)
    failed = seen(stage, q.GetTask(waiting), by)
    assert failed["status"] == "failed"
    assert failed["error"]["message"] == "it depends on another task, which will not complete"
    answers = [failed, seen(stage, q.GetResult(waiting), by), seen(stage, q.WaitTasks((waiting,)), by)]
    assert far not in str(answers)


@pytest.mark.parametrize("by", [DEV, ADMIN, VIEWER], ids=["owner", "admin", "viewer"])
def test_who_sees_all_of_the_owners_tasks_reads_their_ids(
    stage: Stage, pair: tuple[str, str, str], by: Principal
) -> None:
    """The owner could name only what they see."""
    near, far, waiting = pair
    view = seen(stage, q.GetTask(waiting), by)
    assert (view["waits_for"], view["depends_on"]) == (sorted([near, far]), [far, near])
    stage.give(o.CancelTask(far), DEV)
    assert seen(stage, q.GetResult(waiting), by)["error"]["dependency"] == far


def test_one_that_has_left_memory_is_known_for_a_while(stage: Stage, pair: tuple[str, str, str]) -> None:
    """A deleted task of the project keeps its name, one of another project still has none."""
    near, far, waiting = pair
    for task_id in (near, far):
        stage.give(o.DeleteTask(task_id), DEV)
    assert seen(stage, q.GetTask(waiting), BOUND)["depends_on"] == [near, ANOTHER_TASK]


def test_what_is_told_of_a_task_names_no_other_task(stage: Stage, pair: tuple[str, str, str]) -> None:
    """One notice is for all who hear of the task, whatever else they see."""
    near, far, waiting = pair
    stage.give(o.CancelTask(far), DEV)
    told = [notice_of(fact, about(stage.state, fact.event)) for fact in stage.facts]
    data = [notice.data for notice in told if notice is not None and notice.subject == waiting]
    assert len(data) == 2
    assert near not in str(data)
    assert far not in str(data)


def test_the_error_of_a_shard_is_without_names_too() -> None:
    """Its error is the cause of the parent's."""
    inner: Any = {"reason": "dependency_failed", "message": "it depends on task-1", "dependency": "task-1"}
    shown = error_without({"reason": "shard_failed", "message": "", "cause": inner}, {"task-1"}.__contains__)
    assert "task-1" not in str(shown)
    assert inner["dependency"] == "task-1"
