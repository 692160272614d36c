"""Why task classes waited, as a short history, and the reservations. Both live in
memory: a restart starts over."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from helix_ray.core.state import TaskClass

CLASSES_MAX = 1_000
CHANGES_MAX = 32
# The same reason after a pause this long counts as another wait.
GAP_S = 5.0


class Reservation(NamedTuple):
    """Nodes that are set aside for a task (for a gang: its first task) of a class;
    reconsidered at `until` (epoch seconds)."""

    task_class: TaskClass
    task_id: str
    nodes: tuple[str, ...]
    until: float


@dataclass(slots=True)
class Wait:
    """One reason why a class waited, and from when to when (epoch seconds) it was seen."""

    reason: str
    since: float
    seen: float


class WaitLog:
    """The newest reasons of each class; the class that waited longest ago is dropped first."""

    def __init__(self) -> None:
        self._classes: OrderedDict[TaskClass, deque[Wait]] = OrderedDict()

    def note(self, blocked: Mapping[TaskClass, str], now: float) -> None:
        """Record why classes could not be placed now."""
        for task_class, reason in blocked.items():
            waits = self._classes.get(task_class)
            if waits is None:
                waits = self._classes[task_class] = deque(maxlen=CHANGES_MAX)
                if len(self._classes) > CLASSES_MAX:
                    self._classes.popitem(last=False)
            if waits and waits[-1].reason == reason and now - waits[-1].seen <= GAP_S:
                waits[-1].seen = now
            else:
                waits.append(Wait(reason, now, now))

    def of(self, task_class: TaskClass) -> list[Wait]:
        """Return the reasons of a class, oldest first."""
        return list(self._classes.get(task_class, ()))
