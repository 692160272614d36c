"""One reaction of a follower in the master is one turn of its loop: what it orders is
bounded by work counted."""

from __future__ import annotations

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Liveness
from helix_ray.core.orders import OrderBody
from helix_ray.followers.base import Follower, News
from helix_ray.followers.leases import LeaseKeeper
from helix_ray.followers.scheduler import ASSIGN_TASKS_MAX, Scheduler
from helix_ray.followers.timers import Timekeeper
from tests.unit.core.stage import BOT, COMMAND, EXTERNAL, NODE, Stage, spec


def react(follower: Follower, stage: Stage, liveness: Liveness, mono: float) -> list[OrderBody]:
    """Have a follower look at the state."""
    return follower.react(News(stage.state, liveness, stage.now, mono))


def test_the_scheduler_starts_some_of_thousands_at_a_time() -> None:
    """All that has room is started in the end, by reactions of which each is as long as the limit allows."""
    stage, scheduler, liveness = Stage(), Scheduler(Stage().policy), Liveness()
    stage.add_node(resources={"cpu": 10_000.0})
    for _ in range(2):
        stage.submit(*[spec(run=COMMAND)] * 5000)
    started: list[int] = []
    while orders := react(scheduler, stage, liveness, stage.now):
        started += [len(body.pairs) for body in orders if isinstance(body, o.StartAttempts)]
        for body in orders:
            stage.give(body, SYSTEM)
    assert max(started) == ASSIGN_TASKS_MAX
    assert sum(started) == len(stage.state.workers[NODE].running) == 10_000


def test_deadlines_of_tasks_with_many_shards_pass_a_few_at_a_time() -> None:
    """All shards of one end with it, so each counts as many as it has; in the end all have failed."""
    stage, liveness = Stage(), Liveness()
    keeper = Timekeeper(stage.policy)
    stage.submit(*[spec(run=COMMAND, shards={"count": 100}, deadline=stage.now + 1.0)] * 30)
    stage.now += 10.0
    made: list[int] = []
    for look in range(30):
        before = len(stage.facts)
        for order in react(keeper, stage, liveness, float(look)):
            stage.give(order, SYSTEM)
        made.append(len(stage.facts) - before)
    assert 0 < max(made) <= stage.policy.spread_tasks_max + 101
    assert stage.state.by_status[Status.FAILED] == 30
    assert stage.state.by_status[Status.CANCELLED] == 3000


def test_delays_and_timeouts_are_no_longer_where_the_clock_is_set_back() -> None:
    """A retry comes after its backoff, and an attempt of an external worker ends after its timeout, however
    often; what begins afterwards goes by the clock as it is, and a deadline is a time of the day."""
    stage, liveness = Stage(), Liveness()
    keeper = Timekeeper(stage.policy)
    began = stage.now

    def passed(mono: float, back_s: float) -> list[OrderBody]:
        stage.now = began + mono - back_s
        orders = react(keeper, stage, liveness, mono)
        for order in orders:
            stage.give(order, SYSTEM)
        return orders

    assert passed(0.0, 0.0) == []
    retried = stage.run_to("running", max_retries=1, retry_backoff_s=100.0)
    stage.end(retried, "failed", error={"reason": "error", "message": "boom"})
    delay_s = stage.task(retried).not_before - stage.now
    stage.add_external()
    (slow,) = stage.submit(spec(timeout_s=200.0))
    (late,) = stage.submit(spec(deadline=stage.now + 300.0))
    assert stage.give(o.Heartbeat(EXTERNAL), BOT)["assigned_task"] == slow
    assert passed(1.0, 3600.0) == []
    assert passed(2.0, 7200.0) == []
    assert passed(delay_s - 1.0, 7200.0) == []
    assert [type(order) for order in passed(delay_s + 1.0, 7200.0)] == [o.ReleaseTasks]
    assert retried not in stage.state.delayed
    assert passed(199.0, 7200.0) == []
    assert [type(order) for order in passed(201.0, 7200.0)] == [o.ExpireTasks]
    assert stage.task(slow).status is Status.FAILED
    assert passed(400.0, 7200.0) == []
    stage.start(retried)
    assert passed(7501.0, 7200.0) == [o.ExpireTasks((late,), "deadline")]


def test_many_workers_that_fell_silent_together_are_lost_a_few_at_a_time() -> None:
    """The tasks that they run limit one reaction; the next reaction follows immediately."""
    stage = Stage()
    workers = [f"worker-n{i}" for i in range(20)]
    ids = stage.submit(*[spec(run=COMMAND)] * 2000)
    for i, worker in enumerate(workers):
        stage.add_node(worker)
        stage.start(*ids[100 * i : 100 * (i + 1)], worker=worker)
    keeper, liveness, mono = LeaseKeeper(stage.policy), Liveness(), 0.0
    lost: list[int] = []
    assert react(keeper, stage, liveness, mono) == []
    mono += 60.0
    # A judge that was late itself is patient.
    assert react(keeper, stage, liveness, mono) == []
    for _ in range(60):
        mono += 1.0
        while orders := react(keeper, stage, liveness, mono):
            before = len(stage.facts)
            for order in orders:
                stage.give(order, SYSTEM)
            lost.append(len(stage.facts) - before)
    assert all(worker.lost for worker in stage.state.workers.values())
    assert max(lost) <= stage.policy.spread_tasks_max + 101
    assert stage.state.by_status[Status.PENDING] == 2000
