"""A dependency that has left memory counts as one in it: the submit brings what the history knows."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import Principal
from helix_ray.core.errors import NotInMemory
from tests.unit.core.past import Past
from tests.unit.core.stage import DEV, OTHER, Stage, spec


@pytest.fixture
def past(stage: Stage) -> Past:
    return Past(stage)


def refusal(past: Past, *names: str, by: Principal = DEV) -> Any:
    """Submit a task that depends on others that have ended; return why it was refused,
    None where it was taken."""
    data = past.give(o.SubmitTasks((spec(depends_on=list(names)),)), by)
    assert not data["waiting"]
    return data["rejected"].get("0")


def test_a_completed_dependency_is_no_hindrance(past: Past) -> None:
    """The task waits for nothing; what is refused anyway asks nobody, and neither does
    who names tasks of memory."""
    old, new = past.stage.run_to("completed"), past.stage.run_to("completed")
    past.archive(1)
    assert refusal(past, old, new) is None
    lacking = past.stage.decide(
        o.SubmitTasks((spec(depends_on=[new, old]), {"title": "no type", "depends_on": ["x"]}))
    )
    assert isinstance(lacking, NotInMemory)
    assert lacking.task_ids == (old,)
    assert not isinstance(past.stage.decide(o.SubmitTasks((spec(depends_on=[new]),))), NotInMemory)


def test_a_dependency_nobody_knows_is_refused_by_name(past: Past) -> None:
    """One that neither memory nor history has, or that the asker may not see."""
    old = past.stage.run_to("completed")
    past.archive()
    for names, by in (((old, "task-never"), DEV), ((old,), OTHER)):
        code, _, details = refusal(past, *names, by=by)
        assert code == "VALIDATION_ERROR"
        assert details["unknown"] == [names[-1]]


def test_a_failed_dependency_is_refused_as_one_in_memory(past: Past) -> None:
    """With its status, as a conflict."""
    old = past.stage.run_to("failed")
    in_memory = refusal(past, old)
    past.archive()
    code, message, details = refusal(past, old)
    assert [code, message, details] == in_memory
    assert (code, message) == ("CONFLICT", f"Dependency {old} is failed")
    assert details == {"field": "depends_on", "id": old, "status": "failed"}


def test_one_that_was_deleted_meanwhile_is_unknown(past: Past) -> None:
    """However well the history remembers it."""
    old = past.stage.run_to("completed")
    past.archive()
    known = past.recall((old,))
    past.give(o.DeleteTask(old))
    data = past.stage.give(o.SubmitTasks((spec(depends_on=[old]),)), recalled=known)
    assert data["rejected"]["0"][2]["unknown"] == [old]
