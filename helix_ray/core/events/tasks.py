"""Facts about tasks, from submit to deletion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from helix_ray.core.secrets import SECRET_IN_RUN, below
from helix_ray.core.specs import JsonObject, TaskEdits, TaskError, TaskSpec


@dataclass(slots=True)
class TaskSubmitted:
    """A task was submitted. `waits_for` are its dependencies that were unfinished then."""

    secret_fields: ClassVar[tuple[str, ...]] = below("spec.run", SECRET_IN_RUN)

    id: str
    owner: str
    spec: TaskSpec
    waits_for: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TaskReleased:
    """A task has become pending: its dependencies have completed, or its delay is over."""

    id: str


@dataclass(slots=True)
class TaskCompleted:
    """A task has completed; `result` is JSON, `duration_s` is measured where it ran."""

    id: str
    attempt: int
    result: Any = None
    duration_s: float | None = None


@dataclass(slots=True)
class TaskFailed:
    """A task has failed for good; `error` has reason, type, message."""

    id: str
    attempt: int
    error: TaskError
    result: Any = None
    duration_s: float | None = None


@dataclass(slots=True)
class TaskMarked:
    """Somebody has set the status of a task that no worker runs; the facts that follow do it."""

    id: str
    status: str


@dataclass(slots=True)
class TaskCancelled:
    """A task was cancelled."""

    id: str
    attempt: int
    reason: str


@dataclass(slots=True)
class TaskEdited:
    """Fields of a task's spec were replaced."""

    secret_fields: ClassVar[tuple[str, ...]] = below("changes.run", SECRET_IN_RUN)

    id: str
    changes: TaskEdits


@dataclass(slots=True)
class TaskDeleted:
    """A task was deleted."""

    id: str


@dataclass(slots=True)
class TaskDeferred:
    """A task that was queued again waits for others, which are unfinished or were queued again with it."""

    id: str
    waits_for: list[str]


@dataclass(slots=True)
class TaskRestored:
    """An archived task was restored to memory as it ended; the next fact about it queues it again.

    Values that the next fact clears (result, error, worker and times of the attempt) are not included.
    `submitted_seq` is the seq of its TaskSubmitted, `leases` are those of external workers (core/leases.py),
    `parts` the results of completed shards.
    """

    secret_fields: ClassVar[tuple[str, ...]] = below("spec.run", SECRET_IN_RUN)

    id: str
    owner: str
    spec: TaskSpec
    status: str
    submitted_seq: int
    created_at: float
    finished_seq: int
    finished_at: float
    attempt: int
    leases: list[list[Any]] = field(default_factory=list)
    parts: JsonObject = field(default_factory=dict)


@dataclass(slots=True)
class TasksRetired:
    """Finished tasks were archived: they left memory, and are read from the history. `through_seq` is the seq
    at which the last one finished."""

    ids: list[str]
    through_seq: int
