"""What the facts of this process say in figures, for /metrics: how long placing and inferences took, and how
many workers were lost. They begin with the process; what was folded at its start does not count."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core import events as ev
from helix_ray.core.histogram import LONG_BOUNDS_S, Histogram
from helix_ray.core.state import State


class FactFigures:
    """Counts facts as they are committed."""

    def __init__(self) -> None:
        self.placement = Histogram(LONG_BOUNDS_S)
        self.inferences = Histogram()
        self.leases_lost = {"external": 0, "node": 0}

    def note(self, state: State, facts: Iterable[ev.Fact]) -> None:
        """Count the facts of a commit, which are folded into the state already."""
        for fact in facts:
            event = fact.event
            if isinstance(event, ev.TaskAssigned):
                self._assigned(state, event, fact.at)
            elif isinstance(event, ev.TaskCompleted):
                if event.duration_s is not None and _is_inference(event.result):
                    self.inferences.note(event.duration_s)
            elif isinstance(event, ev.WorkerLost):
                worker = state.workers.get(event.id)
                if worker is not None:
                    self.leases_lost[worker.kind] += 1

    def _assigned(self, state: State, event: ev.TaskAssigned, at: float) -> None:
        """Count how long a task waited for a node: a first attempt, which waited for no other task."""
        task = state.tasks.get(event.id)
        if task is None or event.attempt > 1 or task.run is None or task.spec.get("depends_on"):
            return
        self.placement.note(max(0.0, at - max(task.created_at, task.not_before)))


def _is_inference(result: object) -> bool:
    return isinstance(result, dict) and "model" in result and "arithmetic" in result
