"""Holds back the report that a command has started: a short command ends within that time, and the report of
its end covers both.

Each report costs the control plane a commit, and the end of a command would wait for that of its start.
"""

from __future__ import annotations

from helix_ray.execution.assignment import ReportItem, Started, says_it_all

BEGINNING_AGE_S_MAX = 0.005
"""How long the report of a start is held back, in seconds. Any other report of its slot but that of its end
sends it earlier."""


class Beginnings:
    """The start of each slot's command that is not reported yet; `now` is monotonic seconds everywhere."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, Started]] = {}

    def keep(self, slot_id: str, item: Started, now: float) -> None:
        """Hold back the report of a start."""
        self._due[slot_id] = now + BEGINNING_AGE_S_MAX, item

    def before(self, slot_id: str, item: ReportItem | None = None) -> list[ReportItem]:
        """Return what must be reported of a slot before `item`; without one, the start that is held back."""
        _, begun = self._due.pop(slot_id, (0.0, None))
        return [] if begun is None or (item is not None and says_it_all(item, begun)) else [begun]

    def due_at(self) -> float | None:
        """Return when the first report is due; None if none is held back."""
        return min((at for at, _ in self._due.values()), default=None)

    def due(self, now: float) -> list[str]:
        """Return the slots whose reports are due."""
        return [slot_id for slot_id, (at, _) in self._due.items() if at <= now]
