"""Functions that yield, in a real executor: items in their file at once, and how the attempt ends."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from helix_ray.execution.assignment import Cancel, Outcome
from helix_ray.execution.failure import ArgumentsLost
from helix_ray.execution.generators import ItemRefused, listed
from helix_ray.execution.item_file import ItemReader, items_path
from tests.time_limits import with_time_enough

WAIT_S = 60.0


def by_value(value: Any) -> bytes:
    """Pickle what an executor cannot import."""
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        return bytes(cloudpickle.dumps(value))
    finally:
        cloudpickle.unregister_pickle_by_value(here)


def payload(function: Callable[..., Any], *args: Any) -> bytes:
    return by_value((function, args, {}))


def items_of(node: Any, task_id: str) -> list[Any]:
    path = items_path(node.log_dir, task_id, 1)
    return [pickle.loads(item) for item in ItemReader().feed(path.read_bytes())] if path.exists() else []


def run(node: Any, task_id: str, function: Callable[..., Any], *args: Any, **more: Any) -> Outcome:
    outcome: Outcome = node.run(task_id, {}, payload=payload(function, *args), **more)
    return outcome


def count(number: int) -> Iterator[int]:
    yield from range(number)


async def count_later(number: int) -> AsyncIterator[Any]:
    import asyncio

    for item in range(number):
        await asyncio.sleep(0)
        yield item, {"set": {item}}


def test_what_is_yielded_is_in_a_file_and_counted(slot: Any) -> None:
    """Of generators and of asynchronous ones; the outcome has the number of items, and their bytes."""
    outcome = run(slot, "sync", count, 5)
    assert (outcome.ok, outcome.pickled, outcome.error) == (True, None, None)
    assert outcome.yielded == (5, items_path(slot.log_dir, "sync", 1).stat().st_size)
    assert items_of(slot, "sync") == [0, 1, 2, 3, 4]
    assert run(slot, "async", count_later, 3).yielded is not None
    assert items_of(slot, "async") == [(n, {"set": {n}}) for n in range(3)]
    assert run(slot, "none", count, 0).yielded == (0, 0)
    assert not items_path(slot.log_dir, "none", 1).exists()


def wait_for(gate: str) -> Iterator[str]:
    import time
    from pathlib import Path

    yield "before"
    while not Path(gate).exists():
        time.sleep(0.01)
    yield "after"


def test_an_item_is_there_before_the_function_goes_on(slot: Any, tmp_path: Path) -> None:
    """The second one needs a file that is made when the first one is there."""
    gate = tmp_path / "gate"
    slot.submit("gated", {}, payload=payload(wait_for, str(gate)))
    give_up_at = time.monotonic() + WAIT_S
    while items_of(slot, "gated") != ["before"]:
        assert time.monotonic() < give_up_at
    gate.touch()
    assert slot.finished("gated").outcome.yielded[0] == 2
    assert items_of(slot, "gated") == ["before", "after"]


def fail_behind(number: int) -> Iterator[int]:
    yield from range(number)
    raise LookupError("behind them")


def test_an_exception_comes_behind_the_items_before_it(slot: Any) -> None:
    """It is the function's own, with its traceback, and not a result that cannot be pickled."""
    outcome = run(slot, "fails", fail_behind, 3)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.type) == ("failed", "LookupError")
    assert "fail_behind" in (outcome.error.traceback or "")
    assert items_of(slot, "fails") == [0, 1, 2]


def yield_lock(mark: str) -> Iterator[Any]:
    import threading
    from pathlib import Path

    try:
        yield 1
        yield threading.Lock()
    finally:
        Path(mark).touch()


def test_an_item_that_cannot_be_pickled_is_named(slot: Any, tmp_path: Path) -> None:
    """The generator is closed, so what it holds is given back."""
    outcome = run(slot, "lock", yield_lock, str(tmp_path / "mark"))
    assert outcome.error is not None
    assert outcome.error.reason == "not_serialisable"
    assert outcome.error.message.startswith("item 1: type lock cannot be pickled")
    assert items_of(slot, "lock") == [1]
    assert (tmp_path / "mark").exists()


def yield_for_ever() -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


async def yield_for_ever_later() -> AsyncIterator[bytes]:
    import asyncio

    while True:
        await asyncio.sleep(0.001)
        yield b"x"


def yield_for_ever_slowly() -> Iterator[bytes]:
    import time

    while True:
        time.sleep(0.001)
        yield b"x"


@pytest.mark.parametrize("function", [yield_for_ever_slowly, yield_for_ever_later])
def test_a_cancel_ends_it(slot: Any, function: Callable[..., Any]) -> None:
    """Between two items, without the function's help."""
    name = f"cancelled-{function.__name__}"
    slot.submit(name, {}, payload=payload(function))
    give_up_at = time.monotonic() + WAIT_S
    while not items_of(slot, name):
        assert time.monotonic() < give_up_at
    slot.send(Cancel(name, 1))
    assert slot.finished(name).outcome.error.reason == "cancelled"


@pytest.mark.parametrize("function", [yield_for_ever_later, wait_for])
def test_a_time_limit_ends_it(slot: Any, tmp_path: Path, function: Callable[..., Any]) -> None:
    """It is that of the whole function, and not of an item."""
    args = [str(tmp_path / "gate")] if function is wait_for else []

    def attempt(limit_s: float) -> tuple[str, Outcome]:
        name = f"late-{function.__name__}-{limit_s}"
        return name, run(slot, name, function, *args, timeout_s=limit_s)

    name, outcome = with_time_enough(attempt, lambda made: bool(items_of(slot, made[0])))
    assert outcome.error is not None
    assert outcome.error.reason == "timeout"
    assert items_of(slot, name)


def fork_between() -> Iterator[str]:
    import os

    yield "parent"
    child = os.fork()
    yield "child" if child == 0 else "parent"
    if child:
        os.waitpid(child, 0)


def test_the_items_are_the_parents(slot: Any) -> None:
    """A fork that goes on yielding adds nothing, and no second outcome."""
    outcome = run(slot, "forks", fork_between)
    assert outcome.yielded is not None
    assert (outcome.yielded[0], items_of(slot, "forks")) == (2, ["parent", "parent"])


def test_a_bound_ends_the_attempt(node_of: Callable[..., Any]) -> None:
    """With a reason of its own; what was yielded before can be read."""
    node = node_of(yield_bytes_max=100_000)
    outcome = run(node, "full", yield_for_ever)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.type.rsplit(".", 1)[-1]) == ("items_full", "ItemsFull")
    assert len(items_of(node, "full")) > 90


def test_by_name_the_result_is_a_list(slot: Any) -> None:
    """As JSON, for callers that cannot read pickles."""
    call = {"kind": "function", "function": "helix_ray.samples:squares"}
    assert slot.run("named", {**call, "args": [4]}).result == [0, 1, 4, 9]
    assert slot.run("empty", {**call, "args": [0]}).result == []


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([1, float("nan")], r"result\[1\]: nan"),
        ([{"a": object()}], r"result\[0\].a: type object"),
        (["x" * 60, "y" * 60], "more than 100 bytes of JSON were yielded"),
        (["x" * 200], r"result\[0\]: 202 bytes of JSON; the limit is 100"),
    ],
)
def test_a_list_that_is_no_json_is_refused_where_it_ends(items: list[Any], words: str) -> None:
    """By the item's number, and before the rest is asked for."""
    taken: list[Any] = []

    def each() -> Iterator[Any]:
        for item in items:
            taken.append(item)
            yield item
        while True:
            yield "endless" * 10

    with pytest.raises(ItemRefused, match=words) as caught:
        listed(each(), 100)
    assert caught.value.reason == "not_serialisable"
    assert taken == items


class Gone:
    """Unpickles as a call whose arguments are gone."""

    def __reduce__(self) -> Any:
        return raise_lost, ()


def raise_lost() -> None:
    raise ArgumentsLost("they are gone")


def test_arguments_that_are_gone_have_a_reason_of_their_own(slot: Any) -> None:
    """It is one that is not tried again."""
    error = slot.run("lost", {}, payload=by_value(Gone())).error
    assert (error.reason, error.message) == ("arguments_lost", "they are gone")
