"""Which queued inferences are run as one batch of their model: those that name a batch size, and so say that
their rows do not need each other.

A task with a time limit, a file or shards runs alone: the limit is one attempt's, and the rest has batches of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from helix_ray.execution.assignment import Assignment

TASKS_MAX = 64
"""Most tasks of one batch."""

BATCH_WAIT_S = 0.002
"""How long a batch waits for more tasks that are on their way, in seconds."""


class BatchKey(NamedTuple):
    """What inferences of one batch have in common."""

    model: object
    batch_size: int
    precision: object
    outputs: tuple[object, ...] | None


def kind_of(task: Assignment) -> BatchKey | None:
    """Return what a task can be run together by; None for one that runs alone."""
    run = task.run
    if task.is_command or task.payload is not None or run.get("kind") != "inference":
        return None
    size, outputs = run.get("batch_size"), run.get("outputs")
    if not isinstance(size, int) or size < 2 or "inputs" not in run or task.shard is not None:
        return None
    if task.timeout_s is not None or "timeout_s" in run or not isinstance(outputs, list | None):
        return None
    named = None if outputs is None else tuple(outputs)
    return BatchKey(run.get("model"), size, run.get("precision"), named)


def companions(task: Assignment, queue: Iterable[Assignment]) -> list[Assignment]:
    """Return the tasks right behind one in the queue that run together with it."""
    kind = kind_of(task)
    found: list[Assignment] = []
    if kind is None:
        return found
    for other in queue:
        if len(found) + 1 >= min(kind.batch_size, TASKS_MAX) or kind_of(other) != kind:
            break
        found.append(other)
    return found
