"""The calls that user code may make in a task: its progress, and its identity.

An executor runs one attempt at a time, so the running attempt is a global of the process, and threads that
the user's function starts can report too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from helix_ray.execution.assignment import Progressed

REPORTS_PER_S_MAX = 5
"""Most progress reports of one attempt that leave the process in a second; the last one always leaves."""

NOTE_CHARS_MAX = 512


class Cancelled(BaseException):
    """Raised by `progress` when the attempt was cancelled.

    A BaseException, as asyncio.CancelledError is, so that an `except Exception` in the task's
    code does not swallow it.
    """


class TaskInfo(NamedTuple):
    """The running attempt and its task; `shard` is (index, count) of a shard of a larger task."""

    task_id: str
    attempt: int
    shard: tuple[int, int] | None = None


class Sink:
    """Receives the running attempt's progress; throttled, the newest wins."""

    def __init__(self, info: TaskInfo, emit: Callable[[Progressed], None]) -> None:
        self.info = info
        self.cancelled: str | None = None  # the reason; set from the thread that reads the socket
        self._emit = emit
        self._held: Progressed | None = None
        self._next_at = 0.0
        self._lock = threading.Lock()

    def put(self, percent: float, note: str | None) -> None:
        """Send the progress now, or delay it if the last one was sent less than 1 /
        REPORTS_PER_S_MAX seconds ago."""
        report = Progressed(self.info.task_id, self.info.attempt, percent, note)
        now = time.monotonic()
        with self._lock:
            if now < self._next_at:
                self._held = report
                return
            self._held = None
            self._next_at = now + 1.0 / REPORTS_PER_S_MAX
        self._emit(report)

    def flush(self) -> None:
        """Send the delayed progress."""
        if self._held is not None:
            with self._lock:
                report, self._held = self._held, None
            if report is not None:
                self._emit(report)


_sink: Sink | None = None


def install(sink: Sink | None) -> None:
    """Set the running attempt of this process; None for no attempt."""
    global _sink
    _sink = sink


def progress(n: float, total: float | None = None, note: str | None = None) -> None:
    """Report the task's progress: n of total, or n percent without a total. Outside a task it does nothing.

    Cheap to call in a loop: at most REPORTS_PER_S_MAX reports a second leave the process. Raises
    Cancelled when the attempt was cancelled, ValueError for a NaN or a negative total. The
    percentage is limited to 0 to 100.
    """
    sink = _sink
    if sink is None:
        return
    if sink.cancelled is not None:
        raise Cancelled(sink.cancelled)
    sink.put(_percent(n, total), None if note is None else str(note)[:NOTE_CHARS_MAX])


def raise_if_cancelled() -> None:
    """Raise Cancelled when the running attempt was cancelled."""
    sink = _sink
    if sink is not None and sink.cancelled is not None:
        raise Cancelled(sink.cancelled)


def current() -> TaskInfo | None:
    """Return the attempt that is running in this process, None outside a task."""
    sink = _sink
    return None if sink is None else sink.info


def shard() -> tuple[int, int]:
    """Return (index, count) of the shard that is running in this process; (0, 1) in a
    task that has no shards."""
    sink = _sink
    return (0, 1) if sink is None or sink.info.shard is None else sink.info.shard


def _percent(n: float, total: float | None) -> float:
    if math.isnan(n) or (total is not None and not total >= 0):
        raise ValueError(f"invalid progress: {n} of {total}")
    percent = float(n) if total is None else 100.0 if total == 0 else 100.0 * n / total
    return min(100.0, max(0.0, percent))
