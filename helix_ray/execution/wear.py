"""How much a warm process was used, and whether it has leaked: a worn one is replaced."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass

from helix_ray.execution.item_file import ITEMS_BYTES_MAX

FILES_LEFT_MAX = 256
"""Files that functions may leave open in one process before it is replaced."""

LOOK_EVERY_S = 0.005
"""How often memory and files of a process are looked at, in seconds: a look costs as much as a short
function, and in so little time the kernel hands out about a hundred MiB at most."""

BYTES_PER_MB = 1024 * 1024
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one warm process may run, in attempts, by how much its memory may grow, in MiB, what each attempt
    may yield, and how much of the result of an inference the journal takes, in bytes."""

    tasks_max: int
    growth_mb_max: int
    yield_bytes_max: int = ITEMS_BYTES_MAX
    result_inline_bytes_max: int = sys.maxsize


class Wear:
    """Counts from when it is made: make it before the first attempt."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._tasks = 0
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._first_mb = self._resident_mb()
        self._looked_at = time.monotonic()
        self._first_free = _lowest_free_descriptor(self._statm)

    def add(self) -> str | None:
        """Note that an attempt has ended; return why the process is worn out, or None."""
        self._tasks += 1
        if self._tasks >= self._bounds.tasks_max:
            return f"it has run {self._tasks} tasks; the limit is {self._bounds.tasks_max}"
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return None
        self._looked_at = now
        if (growth_mb := self._resident_mb() - self._first_mb) > self._bounds.growth_mb_max:
            return f"its memory has grown by {growth_mb} MiB; the limit is {self._bounds.growth_mb_max} MiB"
        files = _lowest_free_descriptor(self._statm) - self._first_free
        if files > FILES_LEFT_MAX:
            return f"about {files} files were left open in it; the limit is {FILES_LEFT_MAX}"
        return None

    def _resident_mb(self) -> int:
        """Return the second field of /proc/self/statm, see proc_pid_statm(5)."""
        return int(os.pread(self._statm, 128, 0).split(b" ", 2)[1]) * _PAGE_BYTES // BYTES_PER_MB


def _lowest_free_descriptor(of: int) -> int:
    """Return the descriptor that the next file gets, by a copy of an open one: files that are left open
    push it up."""
    descriptor = os.dup(of)
    os.close(descriptor)
    return descriptor
