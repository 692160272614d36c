"""What an executor says leaves soon, in order, and in few reports."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from helix_ray.execution.assignment import Finished, Outcome, Progressed, Report, ReportItem, Started
from helix_ray.execution.frames import FrameReader
from helix_ray.execution.outbox import Outbox

WAIT_S = 60.0


class Heard:
    """The node worker's end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = FrameReader()

    def reports(self, count: int) -> list[tuple[ReportItem, ...]]:
        """Return the next reports, when there are so many."""
        found: list[tuple[ReportItem, ...]] = []
        while len(found) < count:
            messages = self._frames.feed(self._connection.recv(1 << 20))
            found += [message.items for message in messages if isinstance(message, Report)]
        return found


@pytest.fixture
def ends() -> Iterator[tuple[Outbox, Heard]]:
    """A box that has just sent something, and who hears it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(WAIT_S)
        box, heard = Outbox(ours), Heard(theirs)
        yield box, heard
        box.close()


def finished(name: str) -> Finished:
    return Finished(name, 1, Outcome(True), 1.0, 2.0)


def test_progress_stays_between_beginning_and_end(ends: tuple[Outbox, Heard]) -> None:
    """Nothing that was said in between is dropped; progress does not wait for others, since code that never
    returns to Python may follow."""
    box, heard = ends
    box.put(Started("first", 1))
    heard.reports(1)
    items = [Started("a", 1), Progressed("a", 1, 50.0), finished("a")]
    for item in items[:2]:
        box.put(item)
    said: list[ReportItem] = []
    while len(said) < 2:
        said += [item for report in heard.reports(1) for item in report]
    assert said == items[:2]
    box.put(items[2])
    assert heard.reports(1) == [(items[2],)]


def test_what_is_old_leaves_while_code_runs(ends: tuple[Outbox, Heard]) -> None:
    """Nobody flushes: a thread does, and a full report leaves at once."""
    box, heard = ends
    for number in range(3):
        box.put(Started(f"t{number}", 1))
    said: list[ReportItem] = []
    while len(said) < 3:
        said += [item for report in heard.reports(1) for item in report]
    assert said == [Started(f"t{number}", 1) for number in range(3)]
