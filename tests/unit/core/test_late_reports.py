"""Reports that come too late: refused with the reason, to whomever they may be told."""

from __future__ import annotations

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import Heartbeat, LoseWorker, UpdateTask
from tests.cast import seat
from tests.unit.core.stage import ADMIN, BOT, BOT_2, DEV, EXTERNAL, Stage, spec

CONFLICT = ErrorCode.CONFLICT


def held(stage: Stage) -> str:
    """Return a task that an external worker holds."""
    stage.add_external()
    (task_id,) = stage.submit(spec())
    stage.give(Heartbeat(EXTERNAL, "idle"), BOT)
    return task_id


@pytest.mark.parametrize("wanted", ["completed", "failed", "running", "pending"])
@pytest.mark.parametrize("by", [DEV, ADMIN])
def test_an_attempt_that_is_over_says_nothing_of_the_queued_task(by: Principal, wanted: str) -> None:
    """A report that names a lost attempt is not taken for a person's change, before the next attempt has begun either."""
    stage = Stage()
    task_id = held(stage)
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    late = stage.refuse(UpdateTask(task_id, wanted, progress=100, attempt=1), by)
    assert (late.code, late.details) == (CONFLICT, {"attempt": 1, "current_attempt": None})
    assert stage.task(task_id).status == "pending"
    assert stage.give(UpdateTask(task_id, "completed"), by)["status"] == "completed"


def test_a_worker_that_held_it_hears_that_it_is_over() -> None:
    """While it is queued, while another user's worker holds it, and after its end; to others it never existed."""
    stage = Stage()
    task_id = held(stage)
    late = UpdateTask(task_id, "completed", attempt=1, worker_id=EXTERNAL)
    stage.give(LoseWorker(EXTERNAL, "silent"), SYSTEM)
    assert stage.refuse(late, BOT).code is CONFLICT
    stage.add_external("worker_second", BOT_2)
    stage.give(Heartbeat("worker_second", "idle"), BOT_2)
    refusal = stage.refuse(late, BOT)
    assert (refusal.code, refusal.details["attempt"]) == (CONFLICT, 1)
    stage.give(UpdateTask(task_id, "completed", attempt=2), BOT_2)
    assert stage.refuse(late, BOT).code is CONFLICT
    assert stage.task(task_id).given_to == [BOT.id, BOT_2.id]
    stranger = Principal("user-bot3", "bot3", ("worker",))
    seat(stage.state, stranger)
    assert stage.refuse(late, stranger).code is ErrorCode.NOT_FOUND
