"""One rule says who sees what; memory, caches and the history ask it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers.tasks import find_task
from helix_ray.core.errors import Rejected
from helix_ray.core.state import Project, Session, User, Worker
from helix_ray.core.views.tasks import result_view, task_view
from helix_ray.core.visibility import TaskRecord, changes, record_of_view, sees
from tests.unit.core.stage import ADMIN, BOT, BOT_2, CAST, DEV, EXTERNAL, OTHER, VIEWER, Stage, spec

MINE = TaskRecord(DEV.id, None, None)
HELD = TaskRecord(OTHER.id, BOT.id, "p-1")
BOUND = replace(ADMIN, token="token-1", projects=("p-1",))
TEAM = Project("p-1", "team", 0.0, {DEV.id: None})
WORKER = Worker(
    id="w",
    kind="external",
    owner=BOT.id,
    hostname="h",
    capabilities=frozenset(),
    resources={},
    labels={},
    node_id=None,
    boot="",
    registered_at=0.0,
)
USER = User(DEV.id, "dev", "", ("developer",), 0.0)
SESSION = Session(id="s", user_id=DEV.id, refresh_hash="", expires_at=0.0, opened_at=0.0)


@pytest.mark.parametrize(
    ("thing", "who"),
    [
        (MINE, {ADMIN.id, VIEWER.id, DEV.id}),
        (HELD, {ADMIN.id, VIEWER.id, OTHER.id, BOT.id}),
        (TEAM, {ADMIN.id, VIEWER.id, DEV.id}),
        (WORKER, {ADMIN.id, VIEWER.id, DEV.id, OTHER.id, BOT.id}),
        (USER, {ADMIN.id, DEV.id}),
        (SESSION, {ADMIN.id, DEV.id}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_who_sees_it(thing: Any, who: set[str]) -> None:
    """By role, or because it is theirs; for everybody else it does not exist."""
    assert {by.id for by in CAST if sees(by, thing)} == who
    assert sees(SYSTEM, thing)


def test_a_bound_token_sees_its_projects_only() -> None:
    """Whatever its owner may see."""
    assert [sees(BOUND, thing) for thing in (MINE, HELD, TEAM)] == [False, True, True]
    assert not sees(BOUND, Project("p-2", "", 0.0))


def test_a_holder_does_not_change_what_it_sees() -> None:
    """It reports, which is another rule."""
    assert {by.id for by in CAST if changes(by, HELD)} == {ADMIN.id, OTHER.id}


def found_by(stage: Stage, task_id: str) -> set[str]:
    """Return who finds a task in memory, after a check that its view and its result tell the same of it."""
    task = stage.task(task_id)
    found = {by.id for by in CAST if not isinstance(find_task(stage.state, task_id, by), Rejected)}
    for view in (task_view(task), result_view(task)):
        assert {by.id for by in CAST if sees(by, record_of_view(view))} == found
    return found


def claimed(stage: Stage, by: Principal = BOT) -> str:
    """Return a task that an external worker has been given."""
    stage.give(o.RegisterWorker("host", ("building",), {}, worker_id=EXTERNAL), by)
    (task_id,) = stage.submit(spec())
    stage.give(o.Heartbeat(EXTERNAL, "idle"), by)
    return task_id


def test_the_user_of_the_worker_sees_the_task_also_after_it_ended() -> None:
    """And after the worker is gone: the task's record has the user whose worker ran it."""
    stage = Stage()
    task_id = claimed(stage)
    seeing = {ADMIN.id, VIEWER.id, DEV.id, BOT.id}
    assert found_by(stage, task_id) == seeing
    stage.give(o.UpdateTask(task_id, "completed", worker_id=EXTERNAL), BOT)
    assert found_by(stage, task_id) == seeing
    stage.give(o.RemoveWorker(EXTERNAL), ADMIN)
    assert found_by(stage, task_id) == seeing


@pytest.mark.parametrize(
    "order",
    [o.LoseWorker(EXTERNAL, "silent"), o.RemoveWorker(EXTERNAL), o.ExpireTasks((), "timeout")],
    ids=lambda order: type(order).__name__,
)
def test_who_lost_a_task_does_not_see_it_any_more(order: o.OrderBody) -> None:
    """Others may have it now."""
    stage = Stage()
    task_id = claimed(stage)
    if isinstance(order, o.ExpireTasks):
        stage.give(o.UpdateTask(task_id, "pending", worker_id=EXTERNAL), BOT)
    else:
        stage.give(order, SYSTEM)
    assert found_by(stage, task_id) == {ADMIN.id, VIEWER.id, DEV.id}
    assert BOT_2.id not in found_by(stage, task_id)


def test_what_somebody_sees_they_can_list_and_depend_on() -> None:
    """A viewer who is a developer may wait for what others do."""
    stage = Stage()
    (theirs,) = stage.submit(spec())
    both = replace(VIEWER, roles=("viewer", "developer"))
    stage.state.users[VIEWER.id].roles = both.roles
    receipt = stage.give(o.SubmitTasks((spec(depends_on=[theirs]),)), both)
    assert not receipt["rejected"]
    hidden = stage.give(o.SubmitTasks((spec(depends_on=[theirs]),)), OTHER)
    assert hidden["rejected"]["0"][2]["unknown"] == [theirs]
