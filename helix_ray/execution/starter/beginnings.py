"""The beginnings of commands, kept back for a few milliseconds: of a short one, its end says it all.

Each report costs the control plane a commit, and the end of a command would wait for that of its beginning.
"""

from __future__ import annotations

from helix_ray.execution.assignment import ReportItem, Started, says_it_all

BEGINNING_AGE_S_MAX = 0.005
"""A beginning is told when it is this old, in seconds, and before anything but the end of its attempt."""


class Beginnings:
    """What has begun in each slot and was not told yet; `now` is monotonic seconds everywhere."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, Started]] = {}

    def keep(self, slot_id: str, item: Started, now: float) -> None:
        """Keep a beginning back."""
        self._due[slot_id] = now + BEGINNING_AGE_S_MAX, item

    def before(self, slot_id: str, item: ReportItem | None = None) -> list[ReportItem]:
        """Return what is to be told of a slot before an item of it, or before anything else."""
        _, begun = self._due.pop(slot_id, (0.0, None))
        return [] if begun is None or (item is not None and says_it_all(item, begun)) else [begun]

    def due_at(self) -> float | None:
        """Return when the oldest is due; None where there is none."""
        return min((at for at, _ in self._due.values()), default=None)

    def due(self, now: float) -> list[str]:
        """Return the slots whose beginnings are due."""
        return [slot_id for slot_id, (at, _) in self._due.items() if at <= now]
