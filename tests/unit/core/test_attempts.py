"""Attempts: leased, reported on, lost, expired. Only the current attempt's report counts."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import AttemptReport
from helix_ray.core.policy import Policy
from tests.unit.core.stage import BOT, COMMAND, EXTERNAL, NODE, NODE_2, Stage, spec


def error_of(stage: Stage, task_id: str) -> dict[str, Any]:
    """Return the error that a task has."""
    error = stage.task(task_id).error
    assert error is not None
    return error


def test_a_lease_has_a_number_and_a_holder(stage: Stage) -> None:
    """The first attempt is number 1; the worker runs it, and its load includes it."""
    task_id = stage.run_to("running")
    task, worker = stage.task(task_id), stage.state.workers[NODE]
    assert (task.attempt, task.worker, task.started_at) == (1, NODE, stage.now)
    assert (worker.running, worker.load) == ({task_id: 1}, {task.task_class: 1})


def test_pairs_that_no_longer_hold_are_left_out(stage: Stage) -> None:
    """Running, delayed, unknown, doubled and person's tasks; lost, draining and unknown workers."""
    running, delayed, good = (
        stage.run_to("running"),
        stage.run_to("running", max_retries=1),
        stage.run_to("pending"),
    )
    stage.end(delayed, "failed")
    (by_hand,) = stage.submit(spec())
    stage.add_node("lost")
    stage.add_node("draining")
    stage.give(o.LoseWorker("lost", "silent"), SYSTEM)
    stage.give(o.DrainWorker("draining"), SYSTEM)
    stale = [(i, NODE) for i in (running, delayed, by_hand, "task-x")]
    stale += [(good, worker) for worker in ("lost", "draining", "worker-x")]
    data = stage.give(o.StartAttempts((*stale, (good, NODE), (good, NODE))), SYSTEM)
    assert data == {"stale": 8}
    assert stage.task(good).worker == NODE
    assert stage.task(delayed).status == "pending"


def test_a_completed_report_ends_the_task(stage: Stage) -> None:
    """The result is kept, the lease ends, the worker's count goes up."""
    task_id = stage.run_to("running")
    assert stage.end(task_id, result={"success": True}, duration_s=0.1)["stale"] == []
    task, worker = stage.task(task_id), stage.state.workers[NODE]
    assert (task.status, task.result, task.progress, task.error) == (
        "completed",
        {"success": True},
        100.0,
        None,
    )
    assert (worker.running, worker.load, worker.completed) == ({}, {}, 1)


def test_late_reports_are_stale_and_repeated_ones_are_not(stage: Stage) -> None:
    """Old numbers, other workers, old processes and unknown tasks are listed as stale; a repeated end is not
    an error."""
    task_id = stage.run_to("running")
    stage.add_node(NODE_2)
    done = AttemptReport(task_id, 1, "completed")
    late = stage.report(AttemptReport(task_id, 2, "completed"), AttemptReport("task-x", 1, "failed"))
    assert late == {"stale": [0, 1], "taken": 2}
    assert stage.report(done, worker=NODE_2)["stale"] == [0]
    assert stage.report(done, boot="boot-0")["stale"] == [0]
    assert stage.report(done, done)["stale"] == [1]
    assert stage.report(done)["stale"] == []
    assert stage.report(done, boot="boot-0")["stale"] == []
    assert stage.report(AttemptReport(task_id, 1, "failed"))["stale"] == [0]
    assert stage.kinds().count("TaskCompleted") == 1


def test_reports_of_an_unknown_worker_are_refused(stage: Stage) -> None:
    """It has to register first."""
    assert stage.refuse(o.ReportAttempts("worker-x", "", ()), SYSTEM).code is ErrorCode.NOT_FOUND


def test_progress_never_goes_back(stage: Stage) -> None:
    """Not between orders, not within one, and never beyond 0 to 100; a note alone is news."""
    task_id = stage.run_to("running")

    def progressed(*percents: float | None, note: str | None = None) -> float:
        stage.report(*(AttemptReport(task_id, 1, "progressed", progress=p, note=note) for p in percents))
        return stage.task(task_id).progress

    assert progressed(50.0, 30.0) == 50.0
    assert progressed(20.0) == 50.0
    seq = stage.state.seq
    assert progressed(50.0, None) == 50.0
    assert stage.state.seq == seq
    assert progressed(10.0, note="half") == 50.0
    assert stage.task(task_id).note == "half"
    assert progressed(10.0, note="half") == 50.0
    assert progressed(float("nan")) == 50.0
    assert progressed(400.0) == 100.0


def test_an_attempt_that_outlasts_its_kind_is_known_as_long_while_it_runs(stage: Stage) -> None:
    """Lanes of its kind hold one from then on, nothing else changes, and its end is awaited
    no time that was measured."""
    run = {"kind": "function", "function": "helix_ray.samples:noop"}
    first, second = (stage.submit(spec(run=run))[0] for _ in range(2))
    kind = stage.task(first).task_class[:3]
    stage.add_node()
    stage.start(first, second)
    stage.end(first, duration_s=0.001)
    before = stage.task(second).status
    assert stage.report(AttemptReport(second, 1, "outlasted", duration_s=1.5))["stale"] == []
    assert stage.report(AttemptReport(second, 1, "outlasted", duration_s=0.5))["stale"] == []
    assert stage.state.durations.average_s(kind) == 1.5
    assert stage.task(second).status is before
    stage.end(second, duration_s=1.6)
    assert stage.report(AttemptReport(second, 1, "outlasted", duration_s=9.0))["stale"] == [0]


def test_a_failure_is_retried_while_retries_are_left(stage: Stage) -> None:
    """The task returns after its backoff with the next number, at the front of its queue; without retries
    left it fails."""
    task_id = stage.run_to("running", max_retries=1, retry_backoff_s=8.0)
    stage.run_to("pending")
    stage.end(task_id, "failed", error={"reason": "error", "message": "boom"})
    task = stage.task(task_id)
    assert (task.status, task.failures, task.worker, error_of(stage, task_id)["message"]) == (
        "pending",
        1,
        None,
        "boom",
    )
    assert 4.0 <= task.not_before - stage.now <= 8.0
    stage.give(o.ReleaseTasks((task_id, task_id, "task-x")), SYSTEM)
    assert task_id in stage.state.delayed
    stage.now = task.not_before
    before = len(stage.facts)
    stage.give(o.ReleaseTasks((task_id, task_id)), SYSTEM)
    assert stage.kinds(before) == ["TaskReleased"]
    assert next(iter(stage.state.ready[task.task_class].levels[task.level])) == task_id
    stage.start(task_id)
    stage.end(task_id, "failed")
    assert (task.status, task.attempt, error_of(stage, task_id)["reason"]) == ("failed", 2, "failed")
    assert stage.state.workers[NODE].failed == 1


def test_what_another_try_cannot_help_is_not_tried(stage: Stage) -> None:
    """A report may say that a retry is of no use."""
    task_id = stage.run_to("running", max_retries=5)
    stage.end(task_id, "failed", retryable=False, result={"success": False}, error={"reason": "not_allowed"})
    assert (stage.task(task_id).status, stage.task(task_id).result) == ("failed", {"success": False})


def test_work_handed_back_costs_nothing(stage: Stage) -> None:
    """A returned attempt counts neither as a failure nor as a loss, and goes to the front."""
    task_id, other = stage.run_to("running"), stage.run_to("pending")
    stage.end(task_id, "returned")
    task = stage.task(task_id)
    assert (task.status, task.failures, task.losses, task.not_before) == ("pending", 0, 0, 0.0)
    assert list(stage.state.ready[task.task_class].levels[task.level]) == [task_id, other]


def test_a_task_that_kills_its_executors_is_given_up() -> None:
    """The first loss is nobody's fault, further ones wait ever longer, one too many fails it."""
    stage = Stage(Policy(losses_max=2))
    task_id = stage.run_to("running")
    task = stage.task(task_id)
    waits = []
    for _ in range(3):
        stage.end(task_id, "lost", error={"reason": "lost", "message": "died"})
        waits.append(task.not_before - stage.now if task.not_before else 0.0)
        stage.now += 10.0
        stage.give(o.ReleaseTasks((task_id,)), SYSTEM)
        stage.start(task_id)
    assert waits[0] == 0.0 < waits[1]
    assert (task.status, task.losses) == ("failed", 2)
    assert task.error == {"reason": "lost", "message": "died; gave up after 3 lost attempts"}
    assert stage.sound()


# ---------------------------------------------------------------------------------------------- dependencies


def diamond(stage: Stage) -> list[str]:
    """Submit a, b after a, c after a, d after b and c; start a."""
    run = {"run": COMMAND}
    after = [[], ["#0"], ["#0"], ["#1", "#2"]]
    ids = stage.submit(*(spec(depends_on=names, **run) for names in after))
    stage.add_node()
    stage.start(ids[0])
    return ids


def statuses(stage: Stage, ids: list[str]) -> str:
    """Return the statuses' first letters (x: cancelled)."""
    return "".join("x" if stage.task(i).status == "cancelled" else stage.task(i).status[0] for i in ids)


def test_completion_releases_what_waited_for_it_only(stage: Stage) -> None:
    """d waits until both b and c are done, and shows only what it still waits for."""
    ids = diamond(stage)
    stage.end(ids[0])
    assert statuses(stage, ids) == "cppw"
    stage.start(ids[1], ids[2])
    stage.end(ids[1])
    assert stage.task(ids[3]).waits_for == {ids[2]}
    stage.end(ids[2])
    assert statuses(stage, ids) == "cccp"
    assert not stage.state.dependents


def test_two_completions_in_one_order_release_once(stage: Stage) -> None:
    """The second report of an order sees what the first has done."""
    ids = diamond(stage)
    stage.end(ids[0])
    stage.start(ids[1], ids[2])
    before = len(stage.facts)
    stage.report(*(AttemptReport(i, 1, "completed") for i in ids[1:3]))
    assert stage.kinds(before) == ["TaskCompleted", "TaskCompleted", "TaskReleased"]


def test_two_failures_in_one_order_fail_a_dependent_once(stage: Stage) -> None:
    """One fact a task, with the first cause."""
    ids = diamond(stage)
    stage.end(ids[0])
    stage.start(ids[1], ids[2])
    before = len(stage.facts)
    stage.report(*(AttemptReport(i, 1, "failed") for i in ids[1:3]))
    assert stage.kinds(before) == ["TaskFailed"] * 3
    assert stage.task(ids[3]).error == {
        "reason": "dependency_failed",
        "message": f"it depends on {ids[1]}, which will not complete",
        "dependency": ids[1],
    }


@pytest.mark.parametrize(
    ("order", "reason"), [(o.CancelTask, "dependency_cancelled"), (o.DeleteTask, "dependency_deleted")]
)
def test_an_end_without_completion_fails_all_that_hang_on_it(stage: Stage, order: type, reason: str) -> None:
    """Directly or not, each once."""
    ids = diamond(stage)
    stage.give(order(ids[0]))
    assert statuses(stage, ids[1:]) == "fff"
    assert {error_of(stage, i)["reason"] for i in ids[1:]} == {reason}
    assert stage.kinds().count("TaskFailed") == 3


def test_deleting_a_completed_dependency_fails_nobody(stage: Stage) -> None:
    """Who waited for it does not wait for it any more, even while waiting for another."""
    done, open_id = stage.run_to("running"), stage.run_to("running")
    (task_id,) = stage.submit(spec(depends_on=[done, open_id]))
    stage.end(done)
    stage.give(o.DeleteTask(done))
    assert stage.task(task_id).status == "waiting"
    stage.end(open_id)
    assert stage.task(task_id).status == "pending"


# ---------------------------------------------------------------------------------------------- time


def test_a_deadline_fails_whatever_is_not_finished(stage: Stage) -> None:
    """Waiting, pending or running, once it has passed and not before; dependents fail with it."""
    ids = [
        stage.run_to(status, deadline=stage.now + 5)
        for status in ("waiting", "pending", "running", "completed")
    ]
    (dependent,) = stage.submit(spec(depends_on=[ids[1]], deadline=stage.now + 5))
    order = o.ExpireTasks((*ids, ids[0], dependent, "task-x"), "deadline")
    assert stage.give(order, SYSTEM) == {}
    assert statuses(stage, ids) == "wprc"
    stage.now += 5
    before = len(stage.facts)
    stage.give(order, SYSTEM)
    assert statuses(stage, [*ids, dependent]) == "fffcf"
    assert stage.kinds(before) == ["TaskFailed"] * 4
    assert stage.task(ids[0]).error == {"reason": "deadline", "message": "the task exceeded its deadline"}
    assert not stage.state.deadlines


def test_a_timeout_ends_the_attempt_that_it_was_meant_for(stage: Stage) -> None:
    """A task that is not running, has no timeout or has just started again is left alone."""
    stage.add_external()
    (slow,) = stage.submit(spec(timeout_s=5.0))
    stage.give(o.Heartbeat(EXTERNAL), BOT)
    endless, queued = stage.run_to("running"), stage.run_to("pending", timeout_s=5.0)
    order = o.ExpireTasks((slow, endless, queued), "timeout")
    stage.now += 5.0
    stage.give(order, SYSTEM)
    assert statuses(stage, [slow, endless, queued]) == "rrp"
    stage.now += 0.5
    stage.give(order, SYSTEM)
    assert statuses(stage, [slow, endless, queued]) == "frp"
    assert stage.task(slow).error is not None


def test_a_fact_about_a_retired_task_changes_nothing(stage: Stage) -> None:
    """TaskDeleted of a task that only the history has concerns only the history."""
    stage.fold(ev.TaskDeleted("task-retired"))
    assert stage.state.by_status[Status.PENDING] == 0
