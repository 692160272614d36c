"""An ending that affects thousands of others is propagated in slices: by work counted, not by a clock."""

from __future__ import annotations

from collections import Counter

import pytest

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import TaskMarked
from helix_ray.core.invariants import check
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import OrderBody
from tests.unit.core.stage import ADMIN, Stage, spec

WAITING = 1200


@pytest.fixture
def fan() -> tuple[Stage, str]:
    """A task, and WAITING others that wait for it; the last of them has one that waits for it in turn."""
    stage = Stage()
    (root,) = submit(stage, spec())
    *_, last = submit(stage, *[spec(depends_on=[root]) for _ in range(WAITING)])
    submit(stage, spec(depends_on=[last]))
    return stage, root


def submit(stage: Stage, *specs: dict[str, object]) -> list[str]:
    before = len(stage.state.tasks)
    stage.give(o.SubmitTasks(specs), ADMIN)
    return list(stage.state.tasks)[before:]


def facts_of(stage: Stage, body: OrderBody) -> int:
    """Carry out an order; return how many facts it made, save who has set a status."""
    before = len(stage.facts)
    stage.give(body, SYSTEM if isinstance(body, o.SpreadEndings) else ADMIN)
    assert check(stage.state) == []
    return sum(not isinstance(fact.event, TaskMarked) for fact in stage.facts[before:])


def carried_on(stage: Stage) -> list[int]:
    """Go on until nothing is left; return the facts of each order."""
    made = []
    while stage.state.freed or stage.state.doomed:
        made.append(facts_of(stage, o.SpreadEndings(stage.policy.spread_tasks_max)))
    return made


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (lambda i: o.CancelTask(i), "dependency_cancelled"),
        (lambda i: o.DeleteTask(i), "dependency_deleted"),
        (lambda i: o.UpdateTask(i, status="failed"), "dependency_failed"),
    ],
)
def test_a_cascade_is_told_in_slices(fan: tuple[Stage, str], ending: object, reason: str) -> None:
    """No order makes more facts than the policy allows; in the end all tasks are reached, and all of them
    name the first cause."""
    stage, root = fan
    most = stage.policy.spread_tasks_max
    assert facts_of(stage, ending(root)) == 1 + most  # type: ignore[operator]
    made = carried_on(stage)
    assert max(made) <= most
    assert 1 + most + sum(made) == 1 + WAITING + 1
    told = Counter(t.error["reason"] for t in stage.state.tasks.values() if t.error and t.id != root)
    assert told == {reason: WAITING + 1}


def test_a_completed_task_releases_in_slices(fan: tuple[Stage, str]) -> None:
    """They wait for nothing meanwhile, and are pending in the end; what waits for one
    of them goes on waiting."""
    stage, root = fan
    most = stage.policy.spread_tasks_max
    # Taken and completed.
    assert facts_of(stage, o.UpdateTask(root, status="running")) == 1
    assert facts_of(stage, o.UpdateTask(root, status="completed")) == 1 + most
    assert len(stage.state.freed) == WAITING - most
    assert max(carried_on(stage)) <= most
    counts = Counter(task.status for task in stage.state.tasks.values())
    assert counts == {Status.COMPLETED: 1, Status.PENDING: WAITING, Status.WAITING: 1}


def test_a_restart_goes_on_where_a_cascade_stopped(fan: tuple[Stage, str]) -> None:
    """What is still to be propagated follows from the tasks, so a snapshot need not contain it."""
    stage, root = fan
    facts_of(stage, o.CancelTask(root))
    before = dict(stage.state.doomed)
    stage.state = snapshot.load(snapshot.dump(stage.state))
    assert stage.state.doomed == before == {root: "dependency_cancelled"}
    carried_on(stage)
    assert stage.state.by_status[Status.WAITING] == 0


def test_what_was_ended_is_not_retired_before_all_are_told(fan: tuple[Stage, str]) -> None:
    """Else nobody could say any more what became of it."""
    stage, root = fan
    facts_of(stage, o.CancelTask(root))
    stage.give(o.ArchiveTasks(stage.state.seq, stage.now + 1.0), SYSTEM)
    assert root in stage.state.tasks
    carried_on(stage)
    stage.give(o.ArchiveTasks(stage.state.seq, stage.now + 1.0), SYSTEM)
    assert root not in stage.state.tasks


def test_what_is_retried_in_the_middle_is_waited_for_again(fan: tuple[Stage, str]) -> None:
    """Tasks that were not yet reached have not failed."""
    stage, root = fan
    facts_of(stage, o.CancelTask(root))
    facts_of(stage, o.RetryTask(root))
    assert not stage.state.doomed
    assert stage.state.by_status[Status.WAITING] == WAITING - stage.policy.spread_tasks_max + 1
