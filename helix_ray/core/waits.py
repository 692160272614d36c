"""Why classes of tasks waited, as a short history, and whom room is held for: memory, not fact. A restart begins it anew."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from helix_ray.core.state import TaskClass

CLASSES_MAX = 1_000
CHANGES_MAX = 32
# The same reason after a pause this long is a wait of its own.
GAP_S = 5.0


class Reservation(NamedTuple):
    """For which class, and for which of its tasks (of a gang: its first); on which nodes; until when (epoch seconds) it is
    left as it is."""

    task_class: TaskClass
    task_id: str
    nodes: tuple[str, ...]
    until: float


@dataclass(slots=True)
class Wait:
    """One reason, from when on and until when it was seen: epoch seconds."""

    reason: str
    since: float
    seen: float


class WaitLog:
    """The newest reasons of each class, the class that waited least lately first."""

    def __init__(self) -> None:
        self._classes: OrderedDict[TaskClass, deque[Wait]] = OrderedDict()

    def note(self, blocked: Mapping[TaskClass, str], now: float) -> None:
        """Take in why classes could not be placed just now."""
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
