"""The checker finds what it is for, and leaves right histories alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from random import Random

import pytest

from tests.contract.linearizability import Operation, TooManyStates, stuck_at
from tests.contract.task_model import Family, Kind, Model, absent


def register(value: int, operation: Operation) -> Iterator[tuple[str, int]]:
    """A register: "write" sets it, "read" gives it."""
    if operation.kind == "write":
        yield "ok", operation.argument
    else:
        yield str(value), value


def write(value: int, began: float, ended: float = inf) -> Operation:
    return Operation("write", value, began, ended, "ok" if ended < inf else None)


def read(value: int, began: float, ended: float) -> Operation:
    return Operation("read", None, began, ended, str(value))


RIGHT: dict[str, list[Operation]] = {
    "nothing": [],
    "one after the other": [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)],
    "a read beside a write sees it": [write(1, 0, 10), read(1, 1, 2), read(1, 3, 4)],
    "a read beside a write does not see it": [write(1, 0, 10), read(0, 1, 2)],
    "then it does": [write(1, 0, 10), read(0, 1, 2), read(1, 3, 4)],
    "writes side by side, in either order": [write(1, 0, 9), write(2, 0, 9), read(2, 10, 11)],
    "what was not answered has happened": [write(1, 0), read(1, 50, 51), read(1, 60, 61)],
    "what was not answered happens late": [write(1, 0), read(0, 50, 51), read(1, 60, 61)],
    "what was not answered never happens": [write(1, 0), read(0, 50, 51)],
    "long reads": [write(1, 0, 1), write(2, 4, 5), read(1, 2, 9), read(2, 2, 9)],
}
WRONG: dict[str, list[Operation]] = {
    "a stale read": [write(1, 0, 1), read(0, 2, 3)],
    "a stale read after another's fresh one": [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)],
    "a lost write": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "a value of nowhere": [write(1, 0, 1), read(7, 0, 1)],
    "there and back": [write(1, 0), read(1, 1, 2), read(0, 3, 4)],
    "two readers disagree about the order": [
        write(1, 0, 9),
        write(2, 0, 9),
        *(read(1, 10, 11), read(2, 12, 13)),
    ],
    "seen before it was asked for": [read(1, 0, 1), write(1, 2, 3)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_histories_pass(name: str) -> None:
    """There is an order."""
    assert stuck_at(RIGHT[name], 0, register) is None
    assert stuck_at(RIGHT[name], 0, register, {"read"}) is None


@pytest.mark.parametrize("name", WRONG)
def test_wrong_histories_are_found(name: str) -> None:
    """There is none, and what comes back is as far as one got."""
    for found in (stuck_at(WRONG[name], 0, register), stuck_at(WRONG[name], 0, register, {"read"})):
        assert found is not None
        assert len(found) < len(WRONG[name])


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_true_register(seed: int) -> None:
    """Random histories of a real register pass; with one read made stale they do not."""
    chance = Random(seed)
    value, now = 0, 0.0
    history: list[Operation] = []
    for number in range(1, 60):
        now += 1
        # Intervals overlap their neighbours'; the effect is at `now`.
        began, ended = now - chance.random() * 2, now + chance.random() * 2
        if chance.random() < 0.4:
            value = number
            history.append(write(value, began, ended if chance.random() < 0.9 else inf))
        else:
            history.append(read(value, began, ended))
    assert stuck_at(history, 0, register, {"read"}) is None
    last = max((each for each in history if each.ended < inf), key=lambda each: each.ended)
    late = read(-1, last.ended + 10, last.ended + 11)
    assert stuck_at([*history, late], 0, register, {"read"}) is not None


def test_it_gives_up_rather_than_run_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much that overlaps is said, and not called wrong."""
    monkeypatch.setattr("tests.contract.linearizability.STATES_MAX", 100)
    overlapping = [write(n, 0, 100) for n in range(1, 30)] + [read(-1, 50, 60)]
    with pytest.raises(TooManyStates):
        stuck_at(overlapping, 0, register)


def op(kind: str, argument: object, at: float, answer: str | None, ended: float | None = None) -> Operation:
    return Operation(kind, argument, at, at + 0.5 if ended is None else ended, answer)


def story(kind: Kind, *operations: Operation) -> list[Operation] | None:
    """Check a history of one family that is made first."""
    family: Family = absent(kind)
    return stuck_at([op("create", None, 0, "ok"), *operations], family, Model().step)


def test_dependents_and_shards_are_of_their_family() -> None:
    """A cancel is seen in what depends on the task, a deletion in the shards, a start in whole and shards."""
    assert story("pair", op("cancel", 0, 1, "ok"), op("get", 1, 2, "failed")) is None
    assert story("pair", op("cancel", 0, 1, "ok"), op("get", 1, 2, "waiting")) is not None
    assert story("pair", op("put", (0, "completed"), 1, "ok"), op("get", 1, 2, "pending")) is None
    assert story("whole", op("delete", 0, 1, "ok"), op("get", 1, 2, "missing")) is None
    assert story("whole", op("delete", 0, 1, "ok"), op("get", 2, 2, "pending")) is not None
    assert story("whole", op("distribute", 0, 1, "ok"), op("get", 2, 2, "running")) is None
    assert story("whole", op("distribute", 0, 1, "ok"), op("get", 0, 2, "pending")) is not None


def test_a_lease_counts_from_the_heartbeats_answer() -> None:
    """Reads after it see the task running; a report of an attempt that is over is refused."""
    given = op("given", ("w", 1), 1, "ok")
    assert story("leased", given, op("get", 0, 2, "running")) is None
    assert story("leased", given, op("get", 0, 2, "pending")) is not None
    again = (op("cancel", 0, 2, "ok"), op("retry", 0, 3, "ok"), op("given", ("v", 2), 4, "ok"))
    assert story("leased", given, *again, op("report", ("w", 1), 5, "conflict")) is None
    assert story("leased", given, *again, op("report", ("w", 1), 5, "ok")) is not None


def test_an_unanswered_order_may_have_happened() -> None:
    """A cancel whose connection broke: both are right, but not one after the other."""
    lost = op("cancel", 0, 1, None, inf)
    assert story("alone", lost, op("get", 0, 2, "pending")) is None
    assert story("alone", lost, op("get", 0, 2, "cancelled")) is None
    assert story("alone", lost, op("get", 0, 2, "cancelled"), op("get", 0, 3, "pending")) is not None
