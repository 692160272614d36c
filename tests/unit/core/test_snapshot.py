"""A snapshot contains everything once; loading it restores the state, including indexes and order."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.invariants import check
from helix_ray.core.state import State
from tests.unit.core.stage import ADMIN, BOT, COMMAND, EXTERNAL, NODE, Stage, spec


def on_disk(state: State) -> State:
    """Return the state as it comes back from a disk."""
    return snapshot.load(orjson.loads(orjson.dumps(snapshot.dump(state))))


def furnished() -> Stage:
    """Return a stage with something of everything."""
    stage = Stage()
    stage.add_node()
    stage.add_external()
    for status in ("waiting", "pending", "running", "completed", "failed", "cancelled"):
        stage.run_to(status, deadline=stage.now + 50)
    delayed = stage.run_to("running", max_retries=1)
    stage.end(delayed, "failed")
    returned = stage.run_to("running")
    stage.end(returned, "returned")
    stage.submit(spec(priority="low"), spec(type="testing", labels={"zone": "a"}), by=ADMIN)
    stage.give(o.Heartbeat(EXTERNAL), BOT)
    user_id = stage.give(o.CreateUser("ann", "argon", ("developer",)), ADMIN, key="k", fingerprint="f")["id"]
    stage.give(o.OpenSession(user_id, "sess-1", "hash-1", stage.now + 9), SYSTEM, key="~k", fingerprint="f")
    stage.give(o.RefreshSession("hash-1", "hash-2", stage.now + 9), SYSTEM)
    first = next(iter(stage.state.finished.values()))
    stage.give(o.ArchiveTasks(first, stage.now), SYSTEM)
    return stage


def test_a_state_comes_back_from_a_disk() -> None:
    """Every table and every index; the receipts' shelves too."""
    state = furnished().state
    again = on_disk(state)
    assert check(again) == []
    assert snapshot.dump(again) == snapshot.dump(state)
    assert (again.tasks, again.users, again.sessions) == (state.tasks, state.users, state.sessions)
    assert (again.client_receipts, again.internal_receipts) == (
        state.client_receipts,
        state.internal_receipts,
    )
    assert (again.delayed, again.deadlines, again.dependents) == (
        state.delayed,
        state.deadlines,
        state.dependents,
    )
    assert (again.finished, again.by_status) == (state.finished, state.by_status)
    assert (again.archived, again.archived_through) == (state.archived, state.archived_through)
    assert again.sessions_by_refresh == {"hash-1": "sess-1", "hash-2": "sess-1"}


def test_queues_keep_their_order() -> None:
    """Work handed back stands in front, which no other field says."""
    state = furnished().state

    def lines(of: State) -> list[Any]:
        return [(task_class, [list(line) for line in queue.levels]) for task_class, queue in of.ready.items()]

    assert lines(on_disk(state)) == lines(state)


def test_an_inbox_is_in_the_order_of_assignment() -> None:
    """A node that asks for what is after a seq must not miss an older task that was assigned later."""
    stage = Stage()
    stage.add_node()
    first, second = stage.submit(spec(run=COMMAND), spec(run=COMMAND))
    stage.start(second)
    stage.start(first)
    again = on_disk(stage.state)
    assert [entry[1] for entry in again.workers[NODE].inbox] == [second, first]
    assert list(again.workers[NODE].running) == [second, first]
    assert check(again) == []


def test_a_snapshot_does_not_change_after_it_was_taken() -> None:
    """Nor does the state that is loaded from it reach back into it."""
    stage = furnished()
    body = snapshot.dump(stage.state)
    before = orjson.dumps(body)
    again = snapshot.load(body)
    for state in (stage.state, again):
        stage.state = state
        stage.give(o.RefreshSession("hash-2", "hash-3", stage.now + 9), SYSTEM)
        stage.give(o.ArchiveTasks(10**9, stage.now), SYSTEM)
        stage.run_to("running")
        assert orjson.dumps(body) == before


def test_a_task_that_waits_again_stays_behind_those_that_came_before() -> None:
    """Dependents are released in this order, after a restart as before."""
    stage = Stage()
    first, second, third = stage.submit(spec(), spec(depends_on=["#0"]), spec(depends_on=["#0"]))
    stage.give(o.CancelTask(second))
    stage.give(o.RetryTask(second))
    assert list(stage.state.dependents[first]) == [third, second]
    assert list(on_disk(stage.state).dependents[first]) == [third, second]


def test_finished_tasks_share_what_is_equal() -> None:
    """Of a plain task that came from a snapshot the state has 1,300 bytes at most: its id, times and spec,
    and nothing that others have as well."""
    stage = Stage()
    stage.add_node()
    task_ids = [stage.run_to("completed") for _ in range(300)]
    body = snapshot.dump(stage.state)
    lines = [orjson.dumps(row) for row in body["tasks"]]
    tracemalloc.start()
    try:
        again = snapshot.load({**body, "tasks": map(orjson.loads, lines)})
        bytes_each = tracemalloc.get_traced_memory()[0] / len(lines)
    finally:
        tracemalloc.stop()
    assert bytes_each < 1300
    tasks = [again.tasks[task_id] for task_id in task_ids]
    for name in ("owner", "worker", "task_class", "waits_for", "leases", "shard_results"):
        assert len({id(getattr(task, name)) for task in tasks}) == 1, name
    assert len({id(task.spec["run"]["kind"]) for task in tasks}) == 1
    assert all(mine is key for mine, key in zip((t.id for t in tasks), again.finished, strict=True))
