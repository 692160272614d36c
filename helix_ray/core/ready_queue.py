"""The queue of the pending tasks of one class."""

from __future__ import annotations

from collections import OrderedDict

from helix_ray.core.specs import PRIORITIES


class ReadyQueue:
    """The pending tasks of one class by priority; within a priority, those that ran before come first,
    then in order of arrival."""

    __slots__ = ("levels", "size")

    def __init__(self) -> None:
        self.levels: tuple[OrderedDict[str, float], ...] = tuple(OrderedDict() for _ in PRIORITIES)
        self.size = 0

    def add(self, task_id: str, level: int, created_at: float, *, first: bool) -> None:
        """Add a task at the end of its level, or at the front when it was queued before."""
        line = self.levels[level]
        line[task_id] = created_at
        if first:
            line.move_to_end(task_id, last=False)
        self.size += 1

    def discard(self, task_id: str, level: int) -> None:
        """Remove a task, if it is there."""
        if self.levels[level].pop(task_id, None) is not None:
            self.size -= 1

    def head(self, aging_s: float) -> tuple[float, int] | None:
        """Return (rank, level) of the next task; a lower rank goes first.

        Rank is the submit time less `aging_s` for each level of priority, so a task that has waited
        `aging_s` longer overtakes one a level above it: nothing starves.
        """
        best: tuple[float, int] | None = None
        for level, line in enumerate(self.levels):
            if line:
                rank = next(iter(line.values())) - level * aging_s
                if best is None or rank <= best[0]:
                    best = (rank, level)
        return best
