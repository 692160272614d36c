"""Edits of a task: what may change when, and what the change leads to in its line and under its lease."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import UpdateTask
from tests.unit.core.stage import COMMAND, NODE, Stage, spec

NOT_FOUND, FORBIDDEN = ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN
CONFLICT, INVALID = ErrorCode.CONFLICT, ErrorCode.VALIDATION_ERROR


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ({"run": COMMAND}, INVALID),
        ({"depends_on": []}, INVALID),
        ({"owner": "user-other"}, INVALID),
        ({"priority": "odd"}, INVALID),
        ({"type": "knitting"}, INVALID),
        ({"deadline": "soon"}, INVALID),
    ],
)
def test_edits_are_checked_as_submits_are(stage: Stage, edits: dict[str, Any], code: ErrorCode) -> None:
    """What a task does, what it waits for and whose it is cannot change; the rest
    must be of the right shape."""
    (task_id,) = stage.submit(spec())
    assert stage.refuse(UpdateTask(task_id, edits=edits)).code is code


def test_what_may_change_when(stage: Stage) -> None:
    """A running task keeps what it was placed by; an ended one keeps everything."""
    task_id = stage.run_to("running")
    assert stage.refuse(UpdateTask(task_id, edits={"resources": {"cpu": 2}})).details == {
        "fields": ["resources"]
    }
    stage.give(UpdateTask(task_id, edits={"title": "b", "priority": "low"}))
    stage.end(task_id)
    assert stage.refuse(UpdateTask(task_id, edits={"title": "c"})).code is CONFLICT


def test_a_class_that_changes_under_a_lease_takes_its_weight_along(stage: Stage) -> None:
    """The worker's load follows the labels, with other tasks of the old class beside it."""
    first, second = stage.run_to("running"), stage.run_to("running")
    for task_id in (first, second):
        stage.give(UpdateTask(task_id, edits={"labels": {"zone": "a"}}))
        assert stage.sound()
    assert stage.state.workers[NODE].load == {stage.task(first).task_class: 2}
    stage.end(first)
    stage.end(second)
    assert not stage.state.workers[NODE].load


def test_edits_in_the_queue(stage: Stage) -> None:
    """Another title keeps the place in the line; another priority or class goes to
    the end of its new line."""
    first, second, third = stage.submit(spec(), spec(), spec(priority="high"))
    task_class = stage.task(first).task_class
    stage.give(UpdateTask(first, edits={"title": "b"}))
    assert list(stage.state.ready[task_class].levels[1]) == [first, second]
    stage.give(UpdateTask(first, edits={"priority": "high"}))
    assert [list(line) for line in stage.state.ready[task_class].levels] == [[], [second], [third, first], []]
    stage.give(UpdateTask(second, edits={"type": "testing"}))
    assert list(stage.state.ready[stage.task(second).task_class].levels[1]) == [second]


def test_edits_of_waiting_and_delayed_tasks(stage: Stage) -> None:
    """They take effect when the task gets into a queue."""
    stage.add_node()
    _, waiting = stage.submit(spec(), spec(depends_on=["#0"]))
    delayed = stage.run_to("running", max_retries=1)
    stage.end(delayed, "failed")
    for task_id in (waiting, delayed):
        stage.give(UpdateTask(task_id, edits={"priority": "critical", "resources": {"cpu": 2}}))
        assert stage.sound()
        assert stage.task(task_id).level == 3
    assert delayed in stage.state.delayed


@pytest.mark.parametrize("resources", [{"cpu": 5}, {"gpu": 1.5}, {"custom": {"licence": 0.00001}}])
def test_an_edit_to_what_no_node_could_hold_is_refused(stage: Stage, resources: dict[str, Any]) -> None:
    """As it would be at submit; a task that no node runs may say what it likes."""
    stage.add_node(resources={"cpu": 4.0, "gpu": 4.0, "licence": 1.0})
    (ours, theirs), edits = stage.submit(spec(run=COMMAND), spec()), {"resources": resources}
    refusal = stage.refuse(UpdateTask(ours, edits=edits))
    name = [*resources, *resources.get("custom", {})][-1]
    assert (refusal.code, refusal.details["field"]) == (ErrorCode.VALIDATION_ERROR, f"resources.{name}")
    stage.give(UpdateTask(theirs, edits=edits))


def test_a_deadline_that_is_edited_is_the_one_that_counts(stage: Stage) -> None:
    """Given, moved and taken away."""
    (task_id,) = stage.submit(spec())
    for deadline, wanted in ((stage.now + 5, {task_id: stage.now + 5}), (None, {})):
        stage.give(UpdateTask(task_id, edits={"deadline": deadline}))
        assert stage.state.deadlines == wanted
