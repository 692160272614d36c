"""Whether a command uses more memory than its task asked for: the kernel says so of its group, or its
processes are counted.

Counted is what is theirs alone and their share of what is shared (PSS), every CHECK_EVERY_S. What grows
faster than that is noticed late: a group is better, and where there is one the kernel holds the limit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from helix_ray.execution.starter.cgroups import BYTES_PER_MB, Cgroup

CHECK_EVERY_S = 0.25
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryLimit:
    """The limit of one cell's commands."""

    def __init__(self, asked_mb: float, cell_pid: int, group: Cgroup | None) -> None:
        self._asked_mb = asked_mb
        self._cell_pid = cell_pid
        self._group = group if group is not None and group.limits_memory else None
        self._kills = 0

    def begin(self) -> None:
        """Begin with another command."""
        if self._group is not None:
            self._kills = self._group.oom_kills()

    def exceeded(self) -> str | None:
        """Return in words that the command uses more than it may, or None."""
        if self._group is not None:
            if self._group.oom_kills() == self._kills:
                return None
            return f"needed more memory than the {self._asked_mb:g} MB that it asked for"
        pids = list(_below(self._cell_pid))
        limit = self._asked_mb * BYTES_PER_MB
        if sum(map(_resident, pids)) <= limit or (used := sum(map(_proportional, pids))) <= limit:
            return None
        return f"used {used // BYTES_PER_MB} MB, asked for {self._asked_mb:g}"


def _below(pid: int) -> Iterator[int]:
    """Yield the processes below a process."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path("/proc", str(pid), "task", task, "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, shared pages counted whole; cheap."""
    with contextlib.suppress(OSError):
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * PAGE_BYTES
    return 0


def _proportional(pid: int) -> int:
    """Return the memory of a process in bytes, a shared page by its share; what cannot be read counts as
    resident."""
    try:
        for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return _resident(pid)
    return 0
