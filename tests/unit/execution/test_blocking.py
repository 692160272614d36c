"""An attempt says that it waits for tasks, once it has waited for a while."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from helix_ray.core.blocked_on import BLOCKED_ON_TASKS_MAX
from helix_ray.execution import blocking
from helix_ray.execution.assignment import Blocked, Report, Unblocked, from_plain, to_plain
from helix_ray.execution.blocking import AttemptWaits, waiting

WAIT_S = 60.0


class Heard(list[Any]):
    """What was said; `until` waits for a number of words."""

    def __init__(self) -> None:
        super().__init__()
        self._more = threading.Condition()

    def say(self, item: Any) -> None:
        """Note a word."""
        with self._more:
            self.append(item)
            self._more.notify_all()

    def until(self, count: int) -> list[Any]:
        """Return all words once there are so many."""
        with self._more:
            assert self._more.wait_for(lambda: len(self) >= count, WAIT_S)
        return self


@pytest.fixture
def heard() -> Heard:
    """An attempt that runs in this process."""
    said = Heard()
    blocking.install(AttemptWaits("task-1", 2, said.say))
    yield said
    blocking.install(None)


def test_a_wait_is_said_and_its_end(heard: Heard) -> None:
    """The report names what it waits for, and how many of these it needs."""
    with waiting(("a", "b"), "any"):
        assert heard == [Blocked("task-1", 2, ("a", "b"), "any")]
    assert heard[1:] == [Unblocked("task-1", 2)]
    with pytest.raises(KeyError), waiting(("c",)):
        raise KeyError
    assert heard[2:] == [Blocked("task-1", 2, ("c",), "all"), Unblocked("task-1", 2)]


def test_outside_a_task_nothing_is_said() -> None:
    """A program that waits has no CPUs to give back."""
    with waiting(("a",)):
        pass


def test_several_waits_at_a_time_are_one(heard: Heard) -> None:
    """The attempt is blocked from the first to the last of them; what the others wait for is named a little
    later, and once."""
    with waiting(("a",)):
        with waiting(("b",)), waiting(("c", "a")):
            assert heard.until(2)[1] == Blocked("task-1", 2, ("a", "b", "c"), "unblocked")
        assert len(heard) == 2
    assert heard[2:] == [Unblocked("task-1", 2)]


def test_threads_may_wait_at_the_same_time(heard: Heard) -> None:
    """It goes on when none of them waits any more, whichever was first."""
    begun, end = threading.Barrier(9), threading.Event()

    def wait(name: str) -> None:
        with waiting((name,)):
            begun.wait(WAIT_S)
            end.wait(WAIT_S)

    threads = [threading.Thread(target=wait, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(WAIT_S)
    assert heard.until(2)[-1].until == "unblocked"
    end.set()
    for thread in threads:
        thread.join()
    assert [type(word) for word in heard].count(Unblocked) == 1
    assert heard[-1] == Unblocked("task-1", 2)


def test_a_bounded_number_of_tasks_is_named(heard: Heard) -> None:
    """With more than that it goes on when it says so, not when those that it named have ended."""
    with waiting((f"t{n}" for n in range(BLOCKED_ON_TASKS_MAX + 1)), "all"):
        (word,) = heard
    assert (len(word.on), word.until) == (BLOCKED_ON_TASKS_MAX, "unblocked")


def test_the_words_travel() -> None:
    """They are plain values on the way, like every report."""
    report = Report((Blocked("t", 1, ("a",), "all"), Unblocked("t", 1)))
    assert from_plain(to_plain(report)) == report
