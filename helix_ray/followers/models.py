"""Takes what examinations and tunings found out, and submits the tunings that are missing.

A version that tasks get (active or a canary) is measured once on every class of nodes that lives, and a few
times more where that fails (core/models.py, TUNING_TRIES_MAX); a node
whose hardware or runtime changes is of another class, so what was measured before does not count for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.model_reports import is_conclusive
from helix_ray.core.models import ModelTask, ModelVersion
from helix_ray.core.node_classes import node_classes
from helix_ray.core.orders import ConcludeModelTask, OrderBody, SubmitTuning
from helix_ray.core.state import State
from helix_ray.followers.base import News

LOOK_EVERY_S = 1.0
# Unfinished tunings of a class of nodes at a time.
TUNINGS_AT_ONCE_MAX = 2


class ModelKeeper:
    """Concludes what has ended, at once; looks for missing tunings once a second."""

    busy = False

    def __init__(self) -> None:
        self._next = 0.0

    def react(self, news: News) -> list[OrderBody]:
        """Return the orders that are due."""
        state = news.state
        if not state.models:
            return []
        orders: list[OrderBody] = [ConcludeModelTask(task_id) for task_id in _ended(state)]
        if orders:
            # What is ready after these may have no tuning.
            self._next = news.mono
        elif news.mono >= self._next:
            self._next = news.mono + LOOK_EVERY_S
            orders += _missing_tunings(state, news.now)
        return orders


def _ended(state: State) -> list[str]:
    """Return the tasks that have ended and are not concluded, and those that were done again since."""
    return [task_id for task_id, made in state.model_tasks.items() if _is_concludable(state, task_id, made)]


def _is_concludable(state: State, task_id: str, made: ModelTask) -> bool:
    task = state.tasks.get(task_id)
    version = state.models[made.model].versions[made.version]
    if made.node_class is None:
        is_open = version.state == "examining"
    else:
        is_open = version.tunings[made.node_class]["state"] == "tuning"
    if is_open:
        return task is None or task.status in TERMINAL
    # It failed before and was retried: only what it found out is news.
    return task is not None and task.status is Status.COMPLETED and is_conclusive(made, task.result)


def _missing_tunings(state: State, now: float) -> Iterator[SubmitTuning]:
    classes = node_classes(state)
    under_way = Counter(
        made.node_class for task_id, made in state.model_tasks.items() if _is_unfinished(state, task_id)
    )
    for model in state.models.values():
        for number in model.used():
            version = model.ready(number)
            for node_class in classes:
                if version is None or not _is_due(state, version, node_class, now):
                    continue
                if under_way[node_class] < TUNINGS_AT_ONCE_MAX:
                    under_way[node_class] += 1
                    yield SubmitTuning(model.id, number, node_class)


def _is_due(state: State, version: ModelVersion, node_class: str, now: float) -> bool:
    known = version.tunings.get(node_class)
    # One that had failed may have been retried by hand.
    if known is not None and _is_unfinished(state, known["task"]):
        return False
    return version.wants_tuning(node_class, now)


def _is_unfinished(state: State, task_id: str) -> bool:
    task = state.tasks.get(task_id)
    return task is not None and task.status not in TERMINAL
