"""Reports that come too late are refused with the reason, as far as the caller may know it; reports in time
count."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.leases import LEASES_REMEMBERED
from helix_ray.core.orders import (
    AttemptReport,
    CancelTask,
    ExpireTasks,
    Heartbeat,
    LoseWorker,
    RegisterWorker,
    ReleaseTasks,
    RemoveWorker,
    ReportAttempts,
    RetryTask,
    UpdateTask,
)
from tests.cast import slot
from tests.unit.core.stage import ADMIN, BOT, BOT_2, DEV, EXTERNAL, NODE, Stage, spec

CONFLICT = ErrorCode.CONFLICT
SECOND = "worker_second"


def running(stage: Stage, by: Principal = BOT, **fields: Any) -> str:
    """Return a task that an external worker runs."""
    stage.add_external(EXTERNAL, by)
    (task_id,) = stage.submit(spec(**fields))
    given = stage.give(Heartbeat(EXTERNAL, "idle"), by)
    assert (given["assigned_task"], given["attempt"]) == (task_id, 1)
    return task_id


def given_on(stage: Stage, worker: str = SECOND, by: Principal = BOT) -> dict[str, Any]:
    """Have the first worker lose its task to another; return what that one's heartbeat says."""
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    stage.add_external(worker, by)
    told: dict[str, Any] = stage.give(Heartbeat(worker, "idle"), by)
    return told


def details(refusal: Rejected) -> dict[str, Any]:
    assert refusal.code is CONFLICT
    return refusal.details


@pytest.mark.parametrize("wanted", ["completed", "failed", "running", "pending"])
@pytest.mark.parametrize("by", [DEV, ADMIN])
def test_an_attempt_that_is_over_says_nothing_of_the_queued_task(by: Principal, wanted: str) -> None:
    """A report that names a lost attempt is not taken for a person's change, before the next
    attempt has begun either."""
    stage = Stage()
    task_id = running(stage)
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    late = stage.refuse(UpdateTask(task_id, wanted, progress=100, attempt=1), by)
    assert details(late) == {
        "reason": "lease_expired", "attempt": 1, "current_attempt": None, "assigned_worker": None
    }  # fmt: skip
    assert stage.task(task_id).status == "pending"
    assert stage.give(UpdateTask(task_id, "completed"), by)["status"] == "completed"


def test_a_worker_that_held_it_hears_that_it_is_over() -> None:
    """While the task is queued, while another user's worker runs it (which is not disclosed), and after its
    end; for others the task never existed."""
    stage = Stage()
    task_id = running(stage)
    late = UpdateTask(task_id, "completed", attempt=1, worker_id=EXTERNAL)
    hidden = {"reason": "lease_expired", "attempt": 1, "current_attempt": None}
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    assert details(stage.refuse(late, BOT)) == hidden
    stage.add_external(SECOND, BOT_2)
    stage.give(Heartbeat(SECOND, "idle"), BOT_2)
    assert details(stage.refuse(late, BOT)) == hidden
    stage.give(UpdateTask(task_id, "completed", attempt=2), BOT_2)
    assert details(stage.refuse(late, BOT)) == hidden
    leases = [(lease.owner, lease.ended) for lease in stage.task(task_id).leases]
    assert leases == [(BOT.id, "lease_expired"), (BOT_2.id, "reported")]
    stranger = Principal("user-bot3", "bot3", ("worker",))
    slot(stage.state, stranger)
    assert stage.refuse(late, stranger).code is ErrorCode.NOT_FOUND


REPORTS = {
    "completed": {"status": "completed", "result": {"by": "the first"}},
    "failed": {"status": "failed", "error": {"reason": "failed"}},
    "returned": {"status": "pending"},
    "progress": {"progress": 50.0},
}


@pytest.mark.parametrize("fields", REPORTS.values(), ids=REPORTS)
def test_what_two_workers_of_one_user_say_is_told_apart(fields: dict[str, Any]) -> None:
    """The first one's late report does not count for the second, which has the
    task now, whatever it names."""
    stage = Stage()
    task_id = running(stage)
    told = given_on(stage)
    assert told["attempt"] == 2
    before = stage.state.seq
    late = details(stage.refuse(UpdateTask(task_id, **fields, attempt=1), BOT))
    assert late == {"reason": "lease_expired", "attempt": 1, "current_attempt": 2, "assigned_worker": SECOND}
    late = details(stage.refuse(UpdateTask(task_id, **fields, worker_id=EXTERNAL), BOT))
    assert (late["reason"], late["assigned_worker"]) == ("lease_expired", SECOND)
    unclear = details(stage.refuse(UpdateTask(task_id, **fields), BOT))
    assert (unclear["reason"], unclear["assigned_worker"]) == ("ambiguous", SECOND)
    assert stage.state.seq == before
    stage.give(UpdateTask(task_id, "completed", result=1, attempt=told["attempt"]), BOT)
    assert stage.task(task_id).result == 1


def test_the_workers_id_is_enough_for_who_has_the_task() -> None:
    """A plain client names itself as it registered."""
    stage = Stage()
    task_id = running(stage)
    given_on(stage)
    stage.give(UpdateTask(task_id, progress=50, worker_id=SECOND), BOT)
    stage.give(UpdateTask(task_id, "completed", worker_id=SECOND), BOT)
    assert stage.task(task_id).status == "completed"


def test_a_user_with_one_worker_need_not_name_anything() -> None:
    """The documented client sends a status and nothing else: also where its lease ended and it was given the
    task again, and where another user's worker has had it in between."""
    stage = Stage()
    task_id = running(stage)
    given_on(stage, SECOND, BOT_2)
    stage.give(LoseWorker(SECOND, "silent"), SYSTEM)
    stage.now += 600
    stage.give(ReleaseTasks((task_id,)), SYSTEM)
    assert stage.give(Heartbeat(EXTERNAL, "idle"), BOT)["attempt"] == 3
    stage.give(UpdateTask(task_id, progress=50), BOT)
    stage.give(UpdateTask(task_id, "completed", progress=100), BOT)
    assert stage.task(task_id).status == "completed"
    seq = stage.state.seq
    stage.give(UpdateTask(task_id, "completed", progress=100), BOT)
    assert stage.state.seq == seq


def test_a_worker_that_gave_the_task_back_has_no_more_to_say() -> None:
    """So the next one of its user need not name its attempt."""
    stage = Stage()
    task_id = running(stage)
    stage.give(UpdateTask(task_id, "pending"), BOT)
    stage.add_external(SECOND, BOT)
    stage.give(Heartbeat(SECOND, "idle"), BOT)
    stage.give(UpdateTask(task_id, "completed"), BOT)
    assert stage.task(task_id).worker == SECOND


@pytest.mark.parametrize("fields", REPORTS.values(), ids=REPORTS)
def test_a_late_report_is_not_its_users_word_on_the_queued_task(fields: dict[str, Any]) -> None:
    """Where one account submits and works: a report without names is refused; a
    person names the next attempt."""
    stage = Stage()
    task_id = running(stage, ADMIN)
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    late = details(stage.refuse(UpdateTask(task_id, **fields), ADMIN))
    assert late == {"reason": "lease_expired", "current_attempt": None, "assigned_worker": None}
    assert stage.task(task_id).status == "pending"
    stage.give(UpdateTask(task_id, "running", attempt=2), ADMIN)
    stage.give(UpdateTask(task_id, "completed", attempt=2), ADMIN)
    assert stage.task(task_id).status == "completed"


def test_a_failure_that_is_said_twice_is_one() -> None:
    """Its answer was lost, and the task is in line for its retry: the second one is not the owner's word."""
    stage = Stage()
    task_id = running(stage, ADMIN, max_retries=2)
    stage.give(UpdateTask(task_id, "failed"), ADMIN)
    for named in ({}, {"attempt": 1}, {"worker_id": EXTERNAL}):
        assert details(stage.refuse(UpdateTask(task_id, "failed", **named), ADMIN))["reason"] == "reported"
    assert (stage.task(task_id).status, stage.task(task_id).failures) == ("pending", 1)


def test_a_refusal_says_how_the_attempt_ended() -> None:
    """By a cancel, a report, a deadline, a removed worker or one that started again; and that no worker
    is running the task now."""
    for end, reason in (
        (lambda s, i: s.give(CancelTask(i), DEV), "cancelled"),
        (lambda s, i: s.give(UpdateTask(i, "failed", attempt=1), BOT), "reported"),
        (lambda s, i: s.give(RemoveWorker(EXTERNAL), ADMIN), "lease_expired"),
        (
            lambda s, i: s.give(RegisterWorker("h", (), {}, worker_id=EXTERNAL, boot="next"), BOT),
            "lease_expired",
        ),
        (lambda s, i: s.give(ExpireTasks((i,), "timeout"), SYSTEM), "timeout"),
    ):
        stage = Stage()
        task_id = running(stage, timeout_s=1.0)
        stage.now += 2
        end(stage, task_id)
        for named in ({"attempt": 1}, {}):
            late = details(stage.refuse(UpdateTask(task_id, "completed", **named), BOT))
            assert late["reason"] == reason
            assert late.get("assigned_worker") is None


def test_a_cancelled_attempt_stays_cancelled_after_a_retry() -> None:
    """A worker that should have stopped, and did not learn of it, does not complete the next attempt."""
    stage = Stage()
    task_id = running(stage)
    stage.give(CancelTask(task_id), DEV)
    stage.give(RetryTask(task_id), DEV)
    assert details(stage.refuse(UpdateTask(task_id, "completed"), BOT))["reason"] == "cancelled"
    stage.add_external(SECOND, BOT)
    stage.give(Heartbeat(SECOND, "idle"), BOT)
    assert details(stage.refuse(UpdateTask(task_id, "completed"), BOT))["reason"] == "ambiguous"
    assert details(stage.refuse(UpdateTask(task_id, "completed", attempt=1), BOT))["reason"] == "cancelled"
    assert stage.sound()


def test_leases_are_remembered_up_to_a_bound() -> None:
    stage = Stage()
    task_id = running(stage)
    for _ in range(LEASES_REMEMBERED + 2):
        stage.give(UpdateTask(task_id, "pending"), BOT)
        stage.give(Heartbeat(EXTERNAL, "idle"), BOT)
    assert len(stage.task(task_id).leases) == LEASES_REMEMBERED
    late = details(stage.refuse(UpdateTask(task_id, "completed", attempt=1), BOT))
    assert (late["reason"], late["assigned_worker"]) == ("over", EXTERNAL)


def test_late_reports_of_a_node_worker_are_noted_as_one_refusal_of_an_order() -> None:
    """With their number, under the worker's name; reports that count, and repeated ones, are none."""
    stage = Stage()
    stage.add_node()
    ended, running = stage.run_to("running"), stage.run_to("running")
    stage.give(CancelTask(ended), DEV)
    late = AttemptReport(ended, 1, "completed", {"success": True})
    unknown = AttemptReport("task-x", 1, "completed", {"success": True})
    good = AttemptReport(running, 1, "completed", {"success": True})
    decided = stage.decide(ReportAttempts(NODE, "boot-1", (late, good, unknown)), SYSTEM)
    assert isinstance(decided, Decision)
    (refusal,) = decided.noted
    assert (refusal.kind, refusal.author, refusal.count) == ("late_report", NODE, 2)
    assert (refusal.subject, refusal.reason) == (ended, "ReportAttempts")
    assert decided.events
    stage.report(good)
    again = stage.decide(ReportAttempts(NODE, "boot-1", (good,)), SYSTEM)
    assert isinstance(again, Decision)
    assert again.noted == ()
