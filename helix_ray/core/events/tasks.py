"""Facts about tasks, from their first to their last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(slots=True)
class TaskSubmitted:
    """A task was taken in. `waits_for` are the tasks it depends on that were unfinished then."""

    secret_fields: ClassVar[tuple[str, ...]] = ("spec.run.env.*", "spec.run.payload")

    id: str
    owner: str
    spec: dict[str, Any]
    waits_for: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TaskReleased:
    """A task may be placed now."""

    id: str


@dataclass(slots=True)
class TaskCompleted:
    """A task is done; `result` is JSON, `duration_s` as measured where it ran."""

    id: str
    attempt: int
    result: Any = None
    duration_s: float | None = None


@dataclass(slots=True)
class TaskFailed:
    """A task has failed for good; `error` has reason, type, message."""

    id: str
    attempt: int
    error: dict[str, Any]
    result: Any = None
    duration_s: float | None = None


@dataclass(slots=True)
class TaskCancelled:
    """A task was ended before it was done."""

    id: str
    attempt: int
    reason: str


@dataclass(slots=True)
class TaskEdited:
    """Fields of a task's spec were replaced."""

    secret_fields: ClassVar[tuple[str, ...]] = ("changes.run.env.*", "changes.run.payload")

    id: str
    changes: dict[str, Any]


@dataclass(slots=True)
class TaskDeleted:
    """A task is forgotten."""

    id: str


@dataclass(slots=True)
class TaskDeferred:
    """A task that was queued again waits for others, which were queued again with it or are unfinished."""

    id: str
    waits_for: list[str]


@dataclass(slots=True)
class TaskRestored:
    """A task that had left memory is back in it as it ended; the next fact about it queues it again.

    What that fact takes away (result, error, worker and times of the attempt) is not repeated. `submitted_seq` is the seq of
    its TaskSubmitted, `leases` are those of external workers (core/leases.py), `parts` the results of completed shards.
    """

    secret_fields: ClassVar[tuple[str, ...]] = ("spec.run.env.*", "spec.run.payload")

    id: str
    owner: str
    spec: dict[str, Any]
    status: str
    submitted_seq: int
    created_at: float
    finished_seq: int
    finished_at: float
    attempt: int
    leases: list[list[Any]] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TasksRetired:
    """Finished tasks left memory; the history answers for them. `through_seq` is the last one's finish."""

    ids: list[str]
    through_seq: int
