"""Says that the running attempt waits for other tasks, so that these get its CPUs meanwhile.

What waits for tasks in a task's code (helix_ray/cluster/waits.py) does it in two steps: up to BLOCKED_AFTER_S
as everywhere, and then inside `waiting`. So a short wait costs nothing, and neither does any wait outside a
task.

Several threads or coroutines may wait at the same time. The attempt is blocked while any of them does: what
the others compute is done beside the tasks that got its CPUs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Literal

from helix_ray.core.blocked_on import BLOCKED_ON_TASKS_MAX
from helix_ray.execution.assignment import Blocked, Unblocked

BLOCKED_AFTER_S = 0.05
"""A wait that has lasted so long, in seconds, is reported."""

SEND_EVERY_S = 0.05
"""Seconds between two reports of what a blocked attempt waits for."""

Until = Literal["all", "any", "unblocked"]


# Held while a report is sent, so that reports keep their order. One for all attempts, since a process runs
# one at a time, and most wait for nothing.
_lock = threading.Lock()


class AttemptWaits:
    """The waits of one attempt that have not ended; `emit` sends a report."""

    def __init__(self, task_id: str, attempt: int, emit: Callable[[Blocked | Unblocked], None]) -> None:
        self._key = task_id, attempt
        self._emit = emit
        self._count = 0
        self._open: dict[int, tuple[tuple[str, ...], Until]] = {}
        self._later: threading.Timer | None = None

    def begin(self, ids: Iterable[str], until: Until) -> int:
        """Record a wait, and return its number."""
        with _lock:
            first = not self._open
            self._count = number = self._count + 1
            self._open[number] = tuple(ids), until
            if first:
                self._send()
            elif self._later is None:
                self._later = threading.Timer(SEND_EVERY_S, self._send_later)
                self._later.daemon = True
                self._later.start()
        return number

    def end(self, number: int) -> None:
        """Record the end of a wait."""
        with _lock:
            del self._open[number]
            if not self._open:
                if self._later is not None:
                    self._later.cancel()
                    self._later = None
                self._emit(Unblocked(*self._key))

    def _send_later(self) -> None:
        with _lock:
            if self._later is threading.current_thread():
                self._later = None
                self._send()

    def _send(self) -> None:
        names = dict.fromkeys(name for ids, _ in self._open.values() for name in ids)
        known = tuple(islice(names, BLOCKED_ON_TASKS_MAX))
        until = next(iter(self._open.values()))[1]
        alone = len(self._open) == 1 and len(known) == len(names)
        self._emit(Blocked(*self._key, known, until if alone else "unblocked"))


_waits: AttemptWaits | None = None


def install(waits: AttemptWaits | None) -> None:
    """Set the waits of the attempt that runs in this process; None for no attempt."""
    global _waits
    _waits = waits


@contextmanager
def waiting(ids: Iterable[str], until: Until = "all") -> Iterator[None]:
    """Wait inside this block for `all` or `any` of some tasks, or for something of theirs (`unblocked`)."""
    waits = _waits
    if waits is None:
        yield
        return
    number = waits.begin(ids, until)
    try:
        yield
    finally:
        waits.end(number)
