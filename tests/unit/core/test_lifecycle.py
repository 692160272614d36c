"""The table of statuses is complete, is kept by evolve, and is what the docs show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from helix_ray.core import events as ev
from helix_ray.core.errors import IllegalMove
from helix_ray.core.lifecycle import DELETABLE, MOVES, TERMINAL, Status, move
from tests.unit.core.stage import NODE, Stage, spec

ROOT = Path(__file__).parents[3]

FACTS: dict[str, ev.Event] = {
    "TaskReleased": ev.TaskReleased("t"),
    "TaskAssigned": ev.TaskAssigned("t", 9, NODE),
    "TaskProgressed": ev.TaskProgressed("t", 1, 50.0),
    "TaskOutlasted": ev.TaskOutlasted("t", 1, 2.0),
    "TaskBlocked": ev.TaskBlocked("t", 1, [], "unblocked"),
    "TaskUnblocked": ev.TaskUnblocked("t", 1),
    "TaskPrioritised": ev.TaskPrioritised("t", None),
    "TaskEdited": ev.TaskEdited("t", {"priority": "low"}),
    "TaskRequeued": ev.TaskRequeued("t", 1, "manual"),
    "TaskDeferred": ev.TaskDeferred("t", []),
    "TaskCompleted": ev.TaskCompleted("t", 1),
    "TaskFailed": ev.TaskFailed("t", 1, {}),
    "TaskCancelled": ev.TaskCancelled("t", 1, "why"),
}


def test_every_fact_that_moves_a_task_is_in_the_table() -> None:
    """Facts about a task that the table does not name only create or delete, or say who sets a status."""
    about_tasks = {kind.__name__ for kind in get_args(ev.Event) if kind.__name__.startswith("Task")}
    others = {"TaskSubmitted", "TaskDeleted", "TasksRetired", "TaskRestored", "TaskMarked"}
    assert about_tasks - set(MOVES) == others
    assert set(FACTS) == set(MOVES)


def test_ends_are_left_by_a_retry_only() -> None:
    """Nothing but TaskRequeued leads out of an end, and a completed task has no way out at all."""
    out = {(fact, status) for fact, moves in MOVES.items() for status in moves if status in TERMINAL}
    assert out == {("TaskRequeued", Status.FAILED), ("TaskRequeued", Status.CANCELLED)}
    assert frozenset(Status) == DELETABLE


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("fact", sorted(MOVES))
def test_evolve_obeys_the_table(stage: Stage, status: Status, fact: str) -> None:
    """A listed move happens; any other raises IllegalMove and changes nothing."""
    task_id = stage.run_to(status)
    stage.add_node()
    event = type(FACTS[fact])(
        **{name: getattr(FACTS[fact], name) for name in FACTS[fact].__slots__} | {"id": task_id}
    )
    if isinstance(event, ev.TaskDeferred):
        event.waits_for = stage.submit(spec())
    before, seq = stage.task(task_id).status, stage.state.seq
    wanted = MOVES[fact].get(status)
    if wanted is not None:
        stage.fold(event)
        assert stage.task(task_id).status is wanted
        return
    with pytest.raises(IllegalMove, match=fact):
        stage.fold(event)
    assert (stage.task(task_id).status, stage.state.seq) == (before, seq)


def test_an_unknown_fact_is_no_move() -> None:
    """A name that the table lacks moves nothing."""
    with pytest.raises(IllegalMove, match="TaskSung is not possible while pending"):
        move(Status.PENDING, "TaskSung")


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    """`tools/draw_state_machine.py --check` fails when docs/state_machine.md is stale."""
    tool = ROOT / "tools" / "draw_state_machine.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
