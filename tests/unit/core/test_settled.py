"""Dependencies that have left memory."""

from __future__ import annotations

from helix_ray.core.access import SYSTEM
from helix_ray.core.decide import decide
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.orders import Order, SubmitTasks
from helix_ray.core.policy import Policy
from helix_ray.core.state import State

SPEC = {"title": "after", "type": "building", "depends_on": ["task-old", "task-never"]}


def submitted(settled: dict[str, str]) -> Decision:
    """Decide a submit on an empty state."""
    order = Order(SubmitTasks((SPEC,), settled), SYSTEM, "req-1", "seed")
    decided = decide(State(), order, 1.0, Policy())
    assert isinstance(decided, Decision)
    return decided


def test_a_dependency_known_to_the_history_is_no_hindrance() -> None:
    """With both dependencies settled, the task waits for nothing."""
    decided = submitted({"task-old": "completed", "task-never": "completed"})
    assert not decided.data["rejected"]
    assert not decided.data["waiting"]


def test_a_dependency_nobody_knows_is_refused_by_name() -> None:
    """The refusal names the dependency that neither memory nor history has."""
    code, _, details = submitted({"task-old": "completed"}).data["rejected"]["0"]
    assert code == "VALIDATION_ERROR"
    assert details["unknown"] == ["task-never"]


def test_a_dependency_that_the_history_knows_as_failed_is_refused_as_one_in_memory() -> None:
    """With its status, as a conflict."""
    decided = submitted({"task-old": "failed", "task-never": "completed"})
    code, message, details = decided.data["rejected"]["0"]
    assert (code, message) == ("CONFLICT", "Dependency task-old is failed")
    assert details == {"field": "depends_on", "id": "task-old", "status": "failed"}
