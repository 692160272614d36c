"""The loss of a worker that runs thousands of tasks is one order, and the tasks are queued again in slices:
by work counted."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.invariants import check
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import AttemptReport, OrderBody
from tests.unit.core.stage import ADMIN, COMMAND, NODE, Stage, spec

HELD = 5_000
NEXT_BOOT = o.RegisterWorker(
    "host", (), {"cpu": 4.0}, worker_id=NODE, kind="node", node_id="node-1", boot="boot-2"
)


def holding(count: int) -> tuple[Stage, list[str]]:
    """A node that runs so many tasks."""
    stage = Stage()
    stage.add_node()
    ids = stage.submit(*[spec(run=COMMAND)] * count)
    stage.start(*ids)
    assert len(stage.state.workers[NODE].running) == count
    return stage, ids


def facts_of(stage: Stage, body: OrderBody) -> int:
    """Carry out an order of the cluster; return how many facts it made."""
    before = len(stage.facts)
    stage.give(body, SYSTEM)
    return len(stage.facts) - before


def carried_on(stage: Stage) -> list[int]:
    """Go on until nothing is left; return the facts of each order."""
    made = []
    while stage.state.orphans:
        made.append(facts_of(stage, o.SpreadEndings(stage.policy.spread_tasks_max)))
    return made


@pytest.mark.parametrize(
    ("order", "why"),
    [(o.LoseWorker(NODE, "silent"), "silent"), (NEXT_BOOT, "the worker restarted")],
)
def test_what_a_worker_held_is_queued_again_in_slices(order: OrderBody, why: str) -> None:
    """No order makes more facts than the policy allows and its own; each task loses one
    attempt, for the same reason."""
    stage, ids = holding(HELD)
    most = stage.policy.spread_tasks_max
    assert facts_of(stage, order) == most + 1
    assert not stage.state.workers[NODE].running
    assert stage.state.by_status[Status.RUNNING] == len(stage.state.orphans) == HELD - most
    assert check(stage.state) == []
    made = carried_on(stage)
    assert max(made) <= most
    assert sum(made) == HELD - most
    assert stage.state.by_status == {**dict.fromkeys(Status, 0), Status.PENDING: HELD}
    assert check(stage.state) == []
    for task_id in (ids[0], ids[-1]):
        task = stage.task(task_id)
        assert (task.losses, task.error) == (1, {"reason": "lost", "message": why, "worker": NODE})


def test_a_worker_can_be_removed_and_forgotten_while_its_tasks_are_told() -> None:
    """They do not need it any more."""
    stage, _ = holding(1200)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    stage.give(o.RemoveWorker(NODE), ADMIN)
    assert NODE not in stage.state.workers
    assert check(stage.state) == []
    carried_on(stage)
    assert stage.state.by_status[Status.PENDING] == 1200


def test_nothing_is_heard_from_an_attempt_whose_worker_is_gone() -> None:
    """Its reports are refused even before it is queued again, and even when the worker returns with the same
    boot: the worker must stop the attempt."""
    stage, ids = holding(1200)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    stage.give(o.Heartbeat(NODE, boot="boot-1"), SYSTEM)
    assert not stage.state.workers[NODE].lost
    assert stage.report(AttemptReport(ids[-1], 1, "completed"))["stale"] == [0]
    told = {task_id for _, task_id, _, assigned in stage.state.workers[NODE].inbox if not assigned}
    assert ids[-1] in told


def test_a_restart_goes_on_where_it_stopped() -> None:
    """A snapshot says who lost their worker."""
    stage, _ = holding(1200)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    before = dict(stage.state.orphans)
    stage.state = snapshot.load(snapshot.dump(stage.state))
    assert stage.state.orphans == before
    assert check(stage.state) == []
    carried_on(stage)
    assert stage.state.by_status[Status.PENDING] == 1200


def test_an_orphan_that_is_cancelled_or_deleted_is_none_any_more() -> None:
    """Who was ended meanwhile is not queued again."""
    stage, ids = holding(1200)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    stage.give(o.CancelTask(ids[-1]), ADMIN)
    stage.give(o.DeleteTask(ids[-2]), ADMIN)
    assert check(stage.state) == []
    carried_on(stage)
    assert stage.state.by_status[Status.PENDING] == 1198


def test_shards_that_fail_with_their_worker_count_with_their_whole() -> None:
    """A last loss fails the whole and all its shards: an order that does so to many would
    be as long as all of them."""
    stage = Stage()
    stage.add_node()
    for _ in range(4):
        stage.submit(spec(run=COMMAND, shards={"count": 400}))
    shards = [task.id for task in stage.state.tasks.values() if "shard" in task.spec]
    stage.start(*shards)
    for task_id in shards:
        stage.task(task_id).attempt = stage.state.workers[NODE].running[task_id] = 9
        stage.task(task_id).losses = stage.policy.losses_max
    most = stage.policy.spread_tasks_max + 401
    assert facts_of(stage, o.LoseWorker(NODE, "silent")) <= most + 1
    assert max(carried_on(stage)) <= most
    assert stage.state.by_status[Status.RUNNING] == 0
