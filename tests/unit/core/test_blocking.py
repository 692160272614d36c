"""A running task that waits for others in its code releases its CPUs, and gets them back when it goes on."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.invariants import check
from helix_ray.core.orders import AttemptReport
from helix_ray.core.policy import Policy
from tests.unit.core.stage import ADMIN, DEV, NODE, OTHER, spec
from tests.unit.core.waiting_stage import CALL, RUN, WaitingStage


def test_what_a_task_waits_for_gets_its_cpus() -> None:
    """The child runs while its parent waits; when it ends, the parent has its CPU again at once, before it
    says so itself."""
    stage = WaitingStage()
    parent = stage.begun()
    child, other = stage.submit(CALL, CALL)
    stage.schedule()
    assert stage.statuses(child, other) == ["pending", "pending"]
    stage.block(parent, child)
    assert (stage.free(), stage.task(parent).status) == (1.0, "running")
    stage.schedule()
    assert stage.statuses(child, other) == ["running", "pending"]
    stage.end(child)
    stage.schedule()
    assert (stage.free(), stage.statuses(other)) == (0.0, ["pending"])
    seen = len(stage.facts)
    stage.go_on(parent)
    assert stage.kinds(seen) == [], "it was unblocked by the end of its child"
    stage.end(parent)
    stage.schedule()
    assert (stage.statuses(other), stage.sound()) == (["running"], True)


@pytest.mark.parametrize(("until", "free"), [("all", 1.0), ("any", 0.0), ("unblocked", 1.0)])
def test_one_of_two_children_ends(until: str, free: float) -> None:
    """A task that waits for any goes on; one that waits for all, or for more than it names, does not."""
    stage = WaitingStage()
    parent = stage.begun()
    one, two = stage.submit(CALL, CALL)
    stage.block(parent, one, two, until=until)
    stage.give(o.CancelTask(one))
    assert stage.free() == free
    assert (stage.task(parent).block is not None) == bool(free)
    stage.give(o.CancelTask(two))
    assert stage.free() == (1.0 if until == "unblocked" else 0.0)
    stage.go_on(parent)
    assert (stage.free(), stage.sound()) == (0.0, True)


def test_only_cpus_are_released() -> None:
    """What a function has made in memory and on devices is still there."""
    stage = WaitingStage(memory_mb=100.0, gpu=1.0)
    parent = stage.begun(resources={"cpu": 1, "memory_mb": 60, "gpu": 1})
    (child,) = stage.submit(CALL)
    stage.block(parent, child)
    assert [stage.free(name) for name in ("cpu", "memory_mb", "gpu")] == [1.0, 40.0, 0.0]


@pytest.mark.parametrize("limits", [{"cpu": 1.0}, {"tasks": 1.0}])
def test_a_quota_is_released_as_well(limits: dict[str, float]) -> None:
    """A child counts against the same quota as its parent, and must fit."""
    stage = WaitingStage()
    stage.give(o.SetQuota("p", limits), ADMIN)
    parent = stage.begun(project_id="p")
    (child,) = stage.submit({**CALL, "project_id": "p"})
    stage.block(parent, child)
    stage.schedule()
    assert stage.statuses(child) == ["running"]
    (quota,) = stage.ask(q.ListQuotas(), ADMIN)["quotas"]
    assert quota["used"] == {"cpu": 1.0, "tasks": 1.0}


def test_tasks_without_cpus_release_their_slot() -> None:
    """A node runs so many tasks that request nothing; those that are blocked do not count."""
    stage = WaitingStage()
    bare = {"resources": {"cpu": 0}}
    parents = [stage.begun(**bare) for _ in range(32)]
    (child,) = stage.submit({**CALL, **bare})
    stage.schedule()
    assert stage.statuses(child) == ["pending"]
    stage.block(parents[0], child)
    stage.schedule()
    assert stage.statuses(child) == ["running"]


def test_what_is_waited_for_comes_before_what_came_before_it() -> None:
    """Otherwise each parent that waits would let another one in, and all would wait in processes."""
    stage = WaitingStage()
    parent, *others = stage.submit(*[CALL] * 4, spec(run={**RUN, "function": "helix_ray.samples:noop"}))
    stage.schedule()
    stage.now += 5
    stage.submit({**CALL, "priority": "low"})
    (child,) = stage.submit(spec(run={**RUN, "function": "helix_ray.samples:sleep"}))
    stage.block(parent, child)
    stage.schedule()
    assert stage.statuses(child, *others) == ["running", *["pending"] * 4]
    stage.end(child, "lost", error={"reason": "lost"})
    stage.schedule()
    assert (stage.statuses(child, *others), stage.sound()) == (["running", *["pending"] * 4], True)


@pytest.mark.parametrize("ending", ["completed", "failed", "lost", "cancelled", "worker", "restart"])
def test_whatever_ends_a_blocked_attempt_ends_its_loan(ending: str) -> None:
    """An attempt that is gone has released nothing, and nobody inherits from it."""
    stage = WaitingStage()
    parent = stage.begun(max_retries=0)
    (child,) = stage.submit({**CALL, "priority": "low"})
    stage.block(parent, child)
    if ending == "cancelled":
        stage.give(o.CancelTask(parent))
    elif ending == "worker":
        stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    elif ending == "restart":
        stage.add_node(boot="boot-2", resources={"cpu": 1.0})
    else:
        stage.end(parent, ending)
    assert stage.task(parent).block is None
    assert (stage.state.blocking, stage.state.workers[NODE].load) == ({}, {})
    assert stage.sound()


def test_a_late_word_about_waiting_is_no_refusal() -> None:
    """An attempt that was cancelled while it waited goes on to say so; the audit has nothing of it."""
    stage = WaitingStage()
    parent = stage.begun()
    (child,) = stage.submit(CALL)
    stage.block(parent, child)
    stage.give(o.CancelTask(parent))
    seen = len(stage.facts)
    assert stage.report(AttemptReport(parent, 1, "unblocked"))["stale"] == []
    assert stage.kinds(seen) == []


def test_reports_of_one_order_are_taken_in_their_order() -> None:
    """What the same order ends is not waited for; a later word replaces an earlier one."""
    stage = WaitingStage(cpu=3.0)
    parent, one, two = (stage.begun() for _ in range(3))
    said = [("blocked", (one,)), ("blocked", (one, two)), ("unblocked", ()), ("blocked", (one, two))]
    items = [AttemptReport(parent, 1, outcome, on=on, until="all") for outcome, on in said]
    seen = len(stage.facts)
    stage.report(AttemptReport(one, 1, "completed"), *items)
    assert stage.task(parent).blocked_on == {two}
    assert stage.kinds(seen) == [
        "TaskCompleted", "TaskBlocked", "TaskUnblocked", "TaskBlocked"
    ]  # fmt: skip
    stage.block(parent, one, "task-unknown")
    assert (stage.task(parent).block, stage.sound()) == (None, True)


def test_too_many_blocked_attempts_end_with_an_error() -> None:
    """Each is a process: one beyond the limit fails with what to do, instead of waiting for ever."""
    stage = WaitingStage(Policy(blocked_attempts_max=2))
    chain = [stage.begun(max_retries=5)]
    for _ in range(2):
        (child,) = stage.submit({**CALL, "max_retries": 5})
        stage.block(chain[-1], child)
        stage.schedule()
        chain.append(child)
    (last,) = stage.submit(CALL)
    stage.block(chain[-1], last)
    failed = stage.task(chain[-1])
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error["reason"] == "too_many_blocked"
    assert str(failed.error["message"]).startswith("2 attempts of worker-node (HELIX_BLOCKED_ATTEMPTS_MAX) ")
    stage.block(chain[0], last)
    assert stage.statuses(*chain[:2]) == ["running", "running"], "those that are blocked may say so again"


def test_an_owner_cannot_use_up_what_others_may_block() -> None:
    """One beyond the owner's own limit fails, and the next owner's attempt may still be blocked."""
    stage = WaitingStage(Policy(blocked_attempts_per_owner_max=1), cpu=3.0)
    first, second = stage.begun(), stage.begun()
    (other,) = stage.submit(CALL, by=ADMIN)
    stage.schedule()
    (child,) = stage.submit(CALL)
    (others,) = stage.submit(CALL, by=ADMIN)
    for parent, on in ((first, child), (second, child), (other, others)):
        stage.block(parent, on)
    failed = stage.task(second)
    assert failed.error is not None
    assert "1 attempts of" in str(failed.error["message"])
    assert "HELIX_BLOCKED_ATTEMPTS_PER_OWNER_MAX" in str(failed.error["message"])
    assert stage.statuses(first, second, other) == ["running", "failed", "running"]
    assert stage.task(other).block is not None


def test_tasks_that_wait_for_each_other_end_with_an_error() -> None:
    """The one that closes the circle fails at once and says so: nothing else would ever end it."""
    stage = WaitingStage(cpu=2.0)
    one, two = stage.begun(), stage.begun()
    after_two = stage.submit({**CALL, "depends_on": [two]})[0]
    stage.block(two, one)
    stage.block(one, after_two)
    failed = stage.task(one)
    assert failed.error == {
        "reason": "deadlock",
        "message": f"it waits for {after_two}, which waits for it",
        "worker": NODE,
    }
    assert (failed.status, stage.task(two).block) == ("failed", None), "the other one goes on"
    stage.block(two, two)
    assert stage.task(two).error == {
        "reason": "deadlock", "message": f"it waits for {two}, which waits for it", "worker": NODE
    }  # fmt: skip
    assert stage.sound()


def test_a_shard_that_waits_for_its_parent_ends_with_an_error() -> None:
    """The parent ends after its shards: so it does not matter whether the shard waits for the parent itself,
    or for a task that waits for the parent, or which of the two waits first."""
    stage = WaitingStage(cpu=4.0)
    small = {**CALL, "resources": {"cpu": 0.5}}
    sharded = {**small, "shards": {"count": 2}}
    direct, by_dependent = stage.submit(sharded)[0], stage.submit(sharded)[0]
    dependent = stage.submit({**small, "depends_on": [by_dependent]})[0]
    outer, awaited = stage.begun(resources={"cpu": 0.5}), stage.submit(sharded)[0]
    stage.schedule()
    stage.block(f"{direct}-s1", direct)
    stage.block(f"{by_dependent}-s1", dependent)
    stage.block(f"{awaited}-s1", outer)
    stage.block(outer, awaited)
    ended = [stage.task(name).error for name in (f"{direct}-s1", f"{by_dependent}-s1", outer)]
    assert [error and error["reason"] for error in ended] == ["deadlock"] * 3
    assert stage.statuses(direct, by_dependent, awaited) == ["failed", "failed", "running"]
    assert stage.sound()


def test_whoever_waits_for_any_of_one_task_waits_for_it() -> None:
    """`as_completed` with one handle is as hopeless in a circle as `result`; with another one it is not."""
    stage = WaitingStage(cpu=3.0)
    one, two, third = (stage.begun() for _ in range(3))
    stage.block(one, two, third, until="any")
    stage.block(two, one, until="any")
    assert stage.statuses(one, two) == ["running", "running"]
    stage.block(one, two, until="any")
    assert (stage.task(one).error or {})["reason"] == "deadlock"
    assert (stage.statuses(two), stage.sound()) == (["running"], True)


def test_a_blocked_task_is_not_preempted_for_its_cpus() -> None:
    """It has none: stopping it would free nothing."""
    stage = WaitingStage()
    parent = stage.begun(priority="low")
    child = stage.submit(CALL)[0]
    stage.block(parent, child)
    stage.schedule()
    urgent = stage.submit({**CALL, "priority": "critical"})[0]
    stage.schedule()
    assert stage.statuses(parent, child, urgent) == ["running", "pending", "running"]


def test_everybody_can_see_that_a_task_is_blocked() -> None:
    """The task names what it waits for, and only while it does; its explanation says that in words."""
    stage = WaitingStage()
    parent = stage.begun()
    one, two = stage.submit(CALL, CALL)
    assert "blocked_on" not in stage.ask(q.GetTask(parent))
    stage.block(parent, two, one)
    assert stage.ask(q.GetTask(parent))["blocked_on"] == sorted([one, two])
    view = stage.ask(q.ExplainTask(parent))
    assert (view["verdict"], view["blocked_on"]) == ("blocked", sorted([one, two]))
    assert view["summary"] == "it is running and waits for 2 unfinished tasks, without its CPUs"
    stage.go_on(parent)
    assert "blocked_on" not in stage.ask(q.GetTask(parent))
    assert stage.ask(q.ExplainTask(parent))["verdict"] == "running"


def test_a_snapshot_keeps_what_is_released() -> None:
    """Loads, queues and places are those of the fold."""
    stage = WaitingStage()
    parent = stage.begun()
    stage.now += 5
    stage.submit(CALL, by=ADMIN)
    children = stage.submit(CALL, CALL, by=DEV)
    stage.block(parent, *children)
    again = snapshot.load(snapshot.dump(stage.state))
    assert check(again) == []
    assert again.workers[NODE].load == stage.state.workers[NODE].load
    assert again.blocking == stage.state.blocking
    lines = [
        [[list(line.items()) for line in queue.levels] for queue in state.ready.values()]
        for state in (again, stage.state)
    ]
    assert lines[0] == lines[1]


def test_code_waits_only_for_tasks_that_it_may_see() -> None:
    """Whatever it reports: another user's task does not inherit its priority, and its readers learn no id."""
    stage = WaitingStage()
    parent = stage.begun()
    mine, others = stage.submit(CALL)[0], stage.submit(CALL, by=OTHER)[0]
    stage.block(parent, others)
    assert stage.task(parent).block is None
    stage.block(parent, mine, others)
    assert stage.task(parent).blocked_on == {mine}
    stage.block(parent, mine, "no-task")
    assert stage.ask(q.GetTask(parent))["blocked_on"] == [mine]
