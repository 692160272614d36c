"""The checker of chaos runs finds what it is for, and leaves right histories alone."""

from __future__ import annotations

import pytest

from tests.e2e.chaos_history import Final, History, Kind, Operation, Outcome, violations


def op(kind: Kind, began: float, ended: float, value: str = "", outcome: Outcome = "done") -> Operation:
    """An operation on the task `t`."""
    return Operation(kind, "t", began, ended, outcome, value)


CREATED = op("create", 0, 1, "task-1")
DONE = Final("completed", 1, 1)


def broken(*operations: Operation, final: Final = DONE) -> list[str]:
    """Check a history of the one task `t`."""
    history = History()
    for operation in operations:
        history.add(operation)
    return violations(history, {"t": final})


@pytest.mark.parametrize(
    ("operations", "final"),
    [
        ((CREATED, op("read", 2, 3, "pending"), op("read", 4, 5, "completed")), DONE),
        ((CREATED, op("cancel", 2, 3), op("read", 2, 4, "pending")), Final("cancelled", 1, 1)),
        ((CREATED, op("cancel", 2, 3, outcome="unknown"), op("read", 4, 5, "completed")), DONE),
        ((CREATED, op("delete", 2, 3), op("read", 4, 5, "deleted")), Final("deleted", 1, 0)),
        ((op("create", 0, 1, outcome="unknown"),), Final("deleted", 0, 0)),
        (
            (CREATED, op("report", 2, 3, "a", "refused"), op("report", 2, 3, "b")),
            Final("completed", 1, 1, "b"),
        ),
    ],
)
def test_a_history_that_can_be_put_in_order_is_right(operations: tuple[Operation, ...], final: Final) -> None:
    """Overlapping operations may be seen in either order, and unanswered ones may
    or may not have happened."""
    assert broken(*operations, final=final) == []


@pytest.mark.parametrize(
    ("operations", "final", "word"),
    [
        ((CREATED, op("create", 2, 3, "task-2")), DONE, "one key"),
        ((CREATED,), Final("completed", 2, 1), "2 submissions"),
        ((CREATED,), Final("deleted", 0, 0), "it is gone"),
        ((CREATED, op("cancel", 2, 3), op("read", 4, 5, "running")), Final("cancelled", 1, 1), "cancel was"),
        ((CREATED, op("cancel", 2, 3)), DONE, "its cancellation was acknowledged"),
        ((CREATED, op("delete", 2, 3), op("read", 4, 5, "pending")), Final("deleted", 1, 0), "delete was"),
        ((CREATED, op("delete", 2, 3)), DONE, "its deletion was acknowledged"),
        ((CREATED, op("read", 2, 3, "deleted")), DONE, "nobody had deleted it"),
        ((CREATED, op("read", 2, 3, "cancelled")), Final("cancelled", 1, 1), "nobody had asked"),
        ((CREATED, op("read", 2, 3, "completed"), op("read", 4, 5, "running")), DONE, "read completed was"),
        ((CREATED,), Final("completed", 1, 2), "ends it 2 times"),
        ((CREATED,), Final("running", 1, 0), "no end"),
        ((CREATED,), Final("failed", 1, 1), "it failed"),
        (
            (CREATED, op("report", 2, 3, "a"), op("report", 4, 5, "b")),
            Final("completed", 1, 1, "a"),
            "all acknowledged",
        ),
        (
            (CREATED, op("report", 2, 3, "a")),
            Final("completed", 1, 1, "b"),
            "was acknowledged, and its result",
        ),
        (
            (CREATED, op("report", 2, 3, "a", "refused")),
            Final("completed", 1, 1, "a"),
            "refused or never sent",
        ),
        (
            (CREATED, op("report", 2, 3, "a"), op("read", 4, 5, "running")),
            Final("completed", 1, 1, "a"),
            "report a",
        ),
    ],
)
def test_each_rule_has_a_history_that_breaks_it(
    operations: tuple[Operation, ...], final: Final, word: str
) -> None:
    """A rule that nothing can break would prove nothing."""
    assert any(word in sentence for sentence in broken(*operations, final=final))


def test_a_task_that_nobody_created_is_found() -> None:
    """The server must not invent work."""
    assert violations(History(), {"x": DONE}) == ["x: a task that nobody created"]
