"""Orders about one task: who may give them, what they lead to in each status, and what comes too late."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import UpdateTask
from helix_ray.core.policy import Policy
from tests.cast import slot
from tests.unit.core.stage import ADMIN, BOT, BOT_2, DEV, EXTERNAL, NODE, OTHER, VIEWER, Stage, spec

NOT_FOUND, FORBIDDEN = ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN
CONFLICT, INVALID = ErrorCode.CONFLICT, ErrorCode.VALIDATION_ERROR


def running(stage: Stage, **fields: Any) -> str:
    """Return a task that the external worker runs."""
    stage.add_external()
    (task_id,) = stage.submit(spec(**fields))
    assert stage.give(o.Heartbeat(EXTERNAL), BOT)["assigned_task"] == task_id
    return task_id


# ---------------------------------------------------------------------------------------------- who may


# Reads everything, changes only what is theirs: roles add up, they do not multiply.
READER = Principal("user-both", "both", ("viewer", "developer"))


@pytest.mark.parametrize("order", [UpdateTask, o.CancelTask, o.RetryTask, o.DeleteTask])
@pytest.mark.parametrize(
    ("by", "code"), [(OTHER, NOT_FOUND), (VIEWER, FORBIDDEN), (BOT_2, None), (READER, FORBIDDEN)]
)
def test_strangers_change_nothing(stage: Stage, order: type, by: Principal, code: ErrorCode | None) -> None:
    """A task that the caller may not see does not exist for them; one that they may only read is
    forbidden."""
    slot(stage.state, READER)
    task_id = stage.run_to("failed")
    wanted = code or (NOT_FOUND if order is UpdateTask else FORBIDDEN)
    assert stage.refuse(order(task_id), by).code is wanted
    assert stage.refuse(order("task-x"), by).code in (NOT_FOUND, FORBIDDEN)


@pytest.mark.parametrize("by", [DEV, ADMIN, SYSTEM])
def test_the_owner_an_administrator_and_the_system_may(stage: Stage, by: Principal) -> None:
    """Cancel, retry, edit, delete."""
    task_id = stage.run_to("pending")
    assert stage.give(UpdateTask(task_id, edits={"title": "b"}), by)["id"] == task_id
    stage.give(o.CancelTask(task_id, "no need"), by)
    assert stage.task(task_id).error == {"reason": "cancelled", "message": "no need"}
    stage.give(o.RetryTask(task_id), by)
    stage.give(o.DeleteTask(task_id), by)
    assert not stage.state.tasks


def test_a_worker_reports_on_what_it_holds_and_edits_nothing(stage: Stage) -> None:
    """The lease allows progress and an end, not another title; and only its own task."""
    task_id = running(stage)
    stage.give(UpdateTask(task_id, progress=10), BOT)
    assert stage.refuse(UpdateTask(task_id, edits={"title": "mine"}), BOT).code is FORBIDDEN
    assert stage.task(task_id).spec["title"] == "a task"
    assert stage.refuse(UpdateTask(task_id, progress=20), BOT_2).code is NOT_FOUND


# ---------------------------------------------------------------------------------------------- status


BY_PERSON: list[tuple[str, str, str | ErrorCode]] = [
    ("pending", "running", "running"),
    ("pending", "completed", "completed"),
    ("pending", "failed", "failed"),
    ("pending", "cancelled", "cancelled"),
    ("pending", "pending", "pending"),
    ("pending", "waiting", CONFLICT),
    ("running", "running", "running"),
    ("running", "pending", "pending"),
    ("running", "completed", "completed"),
    ("running", "failed", "failed"),
    ("running", "cancelled", "cancelled"),
    ("running", "paused", CONFLICT),
    ("completed", "completed", "completed"),
    ("completed", "failed", CONFLICT),
    ("completed", "cancelled", CONFLICT),
    ("completed", "running", CONFLICT),
    ("failed", "failed", "failed"),
    ("failed", "pending", CONFLICT),
    ("cancelled", "cancelled", "cancelled"),
    ("cancelled", "completed", CONFLICT),
    ("waiting", "completed", CONFLICT),
    ("waiting", "running", CONFLICT),
    ("waiting", "waiting", "waiting"),
    ("waiting", "cancelled", "cancelled"),
]


@pytest.mark.parametrize(("before", "wanted", "after"), BY_PERSON)
def test_people_set_the_status_of_tasks_that_no_worker_runs(
    stage: Stage, before: str, wanted: str, after: str | ErrorCode
) -> None:
    """Setting the same status twice is not an error; an update cannot undo an end."""
    waits = {"depends_on": stage.submit(spec())} if before == "waiting" else {}
    (task_id,) = stage.submit(spec(**waits))
    if before not in ("pending", "waiting"):
        stage.give(UpdateTask(task_id, before))
    seq = stage.state.seq
    if isinstance(after, ErrorCode):
        refusal = stage.refuse(UpdateTask(task_id, wanted, result={"late": True}))
        assert refusal.code is after
        assert refusal.details["status"] == before
        return
    stage.give(UpdateTask(task_id, wanted))
    assert stage.task(task_id).status == after
    assert (stage.state.seq == seq) == (before == wanted)


@pytest.mark.parametrize("wanted", ["running", "completed", "failed"])
def test_people_do_not_set_the_status_of_what_a_node_runs(stage: Stage, wanted: str) -> None:
    """Pending or running, it is the node's to say; but anybody may cancel, or set what is already so."""
    pending, running = stage.run_to("pending"), stage.run_to("running")
    assert stage.refuse(UpdateTask(pending, wanted)).code is CONFLICT
    if wanted != "running":
        assert stage.refuse(UpdateTask(running, wanted)).code is CONFLICT
    stage.give(UpdateTask(running, "running"))
    stage.give(UpdateTask(running, "cancelled"))
    assert not stage.state.workers[NODE].running
    stage.give(UpdateTask(running, "cancelled"))
    assert stage.kinds().count("TaskCancelled") == 1


BY_HOLDER: list[tuple[str, str | ErrorCode]] = [
    ("completed", "completed"),
    ("failed", "failed"),
    ("pending", "pending"),
    ("running", "running"),
    ("cancelled", "cancelled"),
    ("lost", CONFLICT),
    ("returned", CONFLICT),
    ("waiting", CONFLICT),
]


@pytest.mark.parametrize(("wanted", "after"), BY_HOLDER)
def test_the_worker_that_holds_a_task_sets_its_status(
    stage: Stage, wanted: str, after: str | ErrorCode
) -> None:
    """It ends it, hands it back, or says that it goes on; words of other protocols are refused."""
    task_id = running(stage)
    body = UpdateTask(task_id, wanted, result={"success": True}, attempt=1, worker_id=EXTERNAL)
    if isinstance(after, ErrorCode):
        assert stage.refuse(body, BOT).code is after
        return
    stage.now += 2.0
    stage.give(body, BOT)
    assert stage.task(task_id).status == after
    assert (task_id in stage.state.workers[EXTERNAL].running) == (after == "running")


def test_a_workers_failure_is_retried_like_a_nodes(stage: Stage) -> None:
    """`max_retries` applies to external work too."""
    task_id = running(stage, max_retries=1)
    stage.give(UpdateTask(task_id, "failed", error={"reason": "broken"}), BOT)
    assert (stage.task(task_id).status, stage.task(task_id).failures) == ("pending", 1)


def test_an_end_is_said_twice_by_the_worker_and_late_by_others(stage: Stage) -> None:
    """The worker may repeat its report; the owner's report on a task that a worker has ended is too late."""
    task_id = running(stage)
    stage.give(UpdateTask(task_id, "completed"), BOT)
    seq = stage.state.seq
    stage.give(UpdateTask(task_id, "completed", progress=100), BOT)
    assert stage.state.seq == seq
    assert stage.refuse(UpdateTask(task_id, "completed"), DEV).code is CONFLICT
    assert stage.refuse(UpdateTask(task_id, "failed"), BOT).code is CONFLICT


def test_reports_with_another_fence_are_refused(stage: Stage) -> None:
    """Another attempt or another worker than the current one gets 409 and the current one's name."""
    task_id = running(stage)
    late = stage.refuse(UpdateTask(task_id, "completed", attempt=2), BOT)
    assert late.code is CONFLICT
    assert late.details == {
        "reason": "over", "attempt": 2, "current_attempt": 1, "assigned_worker": EXTERNAL
    }  # fmt: skip
    wrong = stage.refuse(UpdateTask(task_id, "completed", worker_id="worker-x"), BOT)
    assert wrong.details == {
        "reason": "over", "worker_id": "worker-x", "current_attempt": 1, "assigned_worker": EXTERNAL
    }  # fmt: skip


def test_the_owner_marks_a_failure_with_words_of_their_own(stage: Stage) -> None:
    """Or gets some; dependents are failed or released as after any end."""
    first, second, hangs_on_first, hangs_on_second = stage.submit(
        spec(), spec(), spec(depends_on=["#0"]), spec(depends_on=["#1"])
    )
    stage.give(UpdateTask(first, "failed", result={"success": False}))
    assert stage.task(first).error == {"reason": "failed", "message": "marked as failed"}
    assert stage.task(first).result == {"success": False}
    assert stage.task(hangs_on_first).status == "failed"
    stage.give(UpdateTask(second, "completed"))
    assert stage.task(hangs_on_second).status == "pending"


# ---------------------------------------------------------------------------------------------- progress


def test_progress_takes_a_pending_task(stage: Stage) -> None:
    """Somebody who reports progress has begun; zero progress is a beginning too."""
    first, second, third = stage.submit(spec(), spec(), spec())
    stage.give(UpdateTask(first, progress=40))
    stage.give(UpdateTask(second, progress=0))
    stage.give(UpdateTask(third, "running", progress=140))
    assert [stage.task(i).progress for i in (first, second, third)] == [40, 0.0, 100.0]
    assert {stage.task(i).status for i in (first, second, third)} == {"running"}
    assert stage.kinds().count("TaskAssigned") == 3


def test_progress_where_there_is_none(stage: Stage) -> None:
    """On ended and waiting tasks, on what a node runs, and together with a
    hand-back of what was not taken."""
    first, waiting = stage.submit(spec(), spec(depends_on=["#0"]))
    assert stage.refuse(UpdateTask(waiting, progress=10)).code is CONFLICT
    assert stage.refuse(UpdateTask(waiting, "running", progress=10)).code is CONFLICT
    assert stage.refuse(UpdateTask(first, "pending", progress=10)).code is CONFLICT
    stage.give(UpdateTask(first, "completed", progress=100))
    assert stage.refuse(UpdateTask(first, progress=10)).code is CONFLICT
    stage.give(UpdateTask(first, "completed", progress=100))
    assert stage.refuse(UpdateTask(stage.run_to("running"), progress=10)).code is CONFLICT


def test_an_update_happens_whole_or_not_at_all(stage: Stage) -> None:
    """A refused status takes the edit before it along."""
    (task_id,) = stage.submit(spec())
    stage.refuse(UpdateTask(task_id, "waiting", edits={"title": "b"}))
    assert stage.task(task_id).spec["title"] == "a task"
    stage.give(UpdateTask(task_id, "running", progress=30, edits={"title": "b"}))
    task = stage.task(task_id)
    assert (task.spec["title"], task.status, task.progress) == ("b", "running", 30)


# -------------------------------------------------------------------------------------------- ends and beyond


def test_cancel_fences_the_attempt_off_at_once(stage: Stage) -> None:
    """The worker's report is too late; a second cancel is not an error; a completed task stays completed."""
    task_id = stage.run_to("running")
    stage.give(o.CancelTask(task_id))
    assert stage.end(task_id)["stale"] == [0]
    assert stage.give(o.CancelTask(task_id))["status"] == "cancelled"
    assert stage.refuse(o.CancelTask(stage.run_to("completed"))).code is CONFLICT


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_retry_starts_afresh(stage: Stage, status: str) -> None:
    """Retries are counted from nothing, the number goes on, and the task goes to the end of its line."""
    first = stage.run_to(status)
    second = stage.run_to("pending")
    attempt = stage.task(first).attempt
    stage.give(o.RetryTask(first))
    task = stage.task(first)
    assert (task.status, task.failures, task.losses, task.finished_at) == ("pending", 0, 0, None)
    assert list(stage.state.ready[task.task_class].levels[1]) == [second, first]
    assert task.attempt == attempt
    assert first not in stage.state.finished


def test_a_full_queue_refuses_a_retry() -> None:
    """With the words of a submit's refusal; when another has ended, it goes in."""
    stage = Stage(Policy(queue_tasks_max=1))
    first = stage.run_to("cancelled")
    (second,) = stage.submit(spec())
    refusal = stage.refuse(o.RetryTask(first))
    assert (refusal.code, refusal.message) == (ErrorCode.RATE_LIMIT_EXCEEDED, "The queue is full")
    assert refusal.details == {"queued": 1, "limit": 1, "retry_after_s": 60}  # one ended in the last minute
    stage.give(o.CancelTask(second))
    stage.give(o.RetryTask(first))
    assert stage.task(first).status == "pending"


@pytest.mark.parametrize("status", ["waiting", "pending", "running", "completed"])
def test_only_what_ended_badly_is_retried(stage: Stage, status: str) -> None:
    """Everything else is a conflict."""
    assert stage.refuse(o.RetryTask(stage.run_to(status))).code is CONFLICT


def test_a_dependent_is_retried_after_what_it_depends_on(stage: Stage) -> None:
    """It never runs before its dependency is completed, even when it is asked for by hand."""
    first = stage.run_to("running")
    (second,) = stage.submit(spec(depends_on=[first]))
    stage.end(first, "failed")
    assert stage.refuse(o.RetryTask(second)).details == {"id": first, "status": "failed"}
    stage.give(o.RetryTask(first))
    assert stage.give(o.RetryTask(second))["status"] == "waiting"
    stage.start(first)
    stage.end(first)
    assert stage.task(second).status == "pending"
    assert stage.sound()


@pytest.mark.parametrize("status", ["waiting", "pending", "running", "completed", "failed", "cancelled"])
def test_a_deleted_task_leaves_no_trace_in_memory(stage: Stage, status: str) -> None:
    """Whatever it stood in: queues, leases, indexes."""
    task_id = stage.run_to(status, deadline=stage.now + 9)
    stage.give(o.DeleteTask(task_id))
    assert task_id not in stage.state.tasks
    assert stage.refuse(o.DeleteTask(task_id)).code is NOT_FOUND


def test_finished_tasks_retire_in_the_order_in_which_they_finished(stage: Stage) -> None:
    """Up to both bounds and the limit; the counts say how many there were."""
    assert stage.give(o.ArchiveTasks(10**9, stage.now), SYSTEM) == {"archived": 0}
    first, second, third = (stage.run_to(status) for status in ("failed", "completed", "completed"))
    (last,) = stage.submit(spec())
    stage.now += 100
    stage.give(o.CancelTask(last))
    through = stage.task(second).finished_seq
    assert stage.give(o.ArchiveTasks(through, stage.now, limit=1), SYSTEM) == {"archived": 1}
    assert first not in stage.state.tasks
    assert stage.give(o.ArchiveTasks(through, stage.now), SYSTEM) == {"archived": 1}
    assert stage.state.archived_through == through
    assert stage.give(o.ArchiveTasks(10**9, stage.now - 50), SYSTEM) == {"archived": 1}
    assert third not in stage.state.tasks
    assert stage.state.archived == {"failed": 1, "completed": 2}
