"""Orders about tasks: submit, report, edit, cancel, retry, delete; and those that become due with time."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NotRequired, TypedDict

from helix_ray.core.access import OPERATORS, SYSTEM_ONLY, WORKERS, WRITERS, Tokens
from helix_ray.core.errors import Rejected
from helix_ray.core.orders.kind import IdData, NoData, OrderKind
from helix_ray.core.secrets import SEALED_IN_RUN, SECRET_IN_RUN, below
from helix_ray.core.specs import TaskEdits, TaskError, TaskSpec
from helix_ray.core.state import State
from helix_ray.core.weight import (
    ARCHIVED_PER_TASK,
    ENDING_STATUSES,
    ENDING_TASKS,
    weight_of_end,
    weight_of_spec,
)


class SubmittedData(TypedDict):
    """What became of the specs; the ids of the tasks are derived from `seed` (decide/submit.py).

    `seed` is that of the order which was carried out; it differs from the caller's where a key gets its first
    receipt again. `waiting` are the indexes of the tasks that wait for others; `rejected` has code, message
    and details for each refused spec, by its index as text.
    """

    seed: str
    created_at: float
    waiting: list[int]
    rejected: dict[str, list[Any]]


class StandingData(TypedDict):
    """The status of a task after the order; times are epoch seconds, progress is 0 to 100."""

    id: str
    status: str
    progress: float
    updated_at: float


class NotQueuedData(TypedDict):
    """A task that failed because of a retried one and was not queued again, and the refusal."""

    id: str
    code: str
    message: str
    details: dict[str, Any]


class RetriedData(StandingData):
    """The status of a retried task; with `dependants` also which tasks were queued, the nearest first, and
    which were not."""

    queued: NotRequired[list[str]]
    not_queued: NotRequired[list[NotQueuedData]]


class ArchivedData(TypedDict):
    """How many tasks were archived."""

    archived: int


@dataclass(frozen=True, slots=True)
class SubmitTasks(OrderKind[SubmittedData]):
    """Submit tasks; each spec is accepted or refused separately. A spec has only the given fields.

    `refused` are the specs that the gate did not take (core/admission.py), by index; an empty one stands in
    for each.
    """

    allowed = WRITERS
    secret_fields = below("specs.*.run", SECRET_IN_RUN)
    sealed_fields = below("specs.*.run", SEALED_IN_RUN)
    tokens = Tokens.ALL
    needs_key = False  # recognised by its seed: the same ids
    recalled_as = "line"

    specs: tuple[TaskSpec, ...]
    refused: dict[int, Rejected] = field(default_factory=dict)

    def work(self) -> int:
        """Return the weight of its specs."""
        return sum(map(weight_of_spec, self.specs))


@dataclass(frozen=True, slots=True)
class UpdateTask(OrderKind[StandingData]):
    """Report on a task or edit it: by the worker that runs it, or by a user who may change it."""

    allowed = WRITERS | WORKERS | OPERATORS
    secret_fields = below("edits.run", SECRET_IN_RUN)
    tokens = Tokens.ALL
    needs_key = True
    conflict_kept_as = "late_report"

    task_id: str
    status: str | None = None
    _: KW_ONLY
    progress: float | None = None
    result: Any = None
    error: TaskError | None = None
    attempt: int | None = None
    worker_id: str | None = None
    edits: TaskEdits = field(default_factory=TaskEdits)

    def work(self) -> int:
        """Return more for what may end a task: that may affect others."""
        return ENDING_TASKS if self._ends else 1

    def work_in(self, state: State) -> int:
        """Count what ends with the task."""
        return weight_of_end(state, self.task_id) if self._ends else 1

    @property
    def _ends(self) -> bool:
        return self.status in ENDING_STATUSES


@dataclass(frozen=True, slots=True)
class CancelTask(OrderKind[StandingData]):
    """Cancel an unfinished task."""

    allowed = WRITERS | OPERATORS
    tokens = Tokens.ALL
    while_stopping = True
    needs_key = True

    task_id: str
    reason: str = "cancelled by request"

    def work(self) -> int:
        """Return more than any light order: others may end with the task."""
        return ENDING_TASKS

    def work_in(self, state: State) -> int:
        """Count what ends with the task."""
        return weight_of_end(state, self.task_id)


@dataclass(frozen=True, slots=True)
class RetryTask(OrderKind[RetriedData]):
    """Queue a failed or cancelled task again; with `dependants` also the tasks that failed because of it,
    which then wait for it again."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True
    recalled_as = "run"

    task_id: str
    dependants: bool = False

    def work(self) -> int:
        """Return more than any light order: others may be queued with the task."""
        return ENDING_TASKS

    def work_in(self, state: State) -> int:
        """Count what waits for the task, and with `dependants` what failed because of it."""
        return weight_of_end(state, self.task_id, dependants=self.dependants)


@dataclass(frozen=True, slots=True)
class DeleteTask(OrderKind[IdData]):
    """Delete a task with its shards; a running attempt is revoked."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    task_id: str

    def work(self) -> int:
        """Return more than any light order: others may end with the task."""
        return ENDING_TASKS

    def work_in(self, state: State) -> int:
        """Count what ends with the task."""
        return weight_of_end(state, self.task_id)


@dataclass(frozen=True, slots=True)
class ReleaseTasks(OrderKind[NoData]):
    """Queue tasks whose retry delay is over; the clock was set back by `set_back_s` since it began."""

    allowed = SYSTEM_ONLY
    needs_key = False  # repeated ids are left out

    task_ids: tuple[str, ...]
    set_back_s: float = 0.0

    def work(self) -> int:
        """Return the number of tasks."""
        return len(self.task_ids)


@dataclass(frozen=True, slots=True)
class ExpireTasks(OrderKind[NoData]):
    """Fail tasks whose deadline has passed, and attempts of external workers that exceeded their timeout; the
    clock was set back by `set_back_s` since these began."""

    allowed = SYSTEM_ONLY
    needs_key = False  # repeated ids are left out

    task_ids: tuple[str, ...]
    reason: str
    set_back_s: float = 0.0

    def work(self) -> int:
        """Return the number of tasks."""
        return len(self.task_ids)


@dataclass(frozen=True, slots=True)
class SpreadEndings(OrderKind[NoData]):
    """Propagate endings to up to `tasks_max` more tasks, where one order could not reach all dependents."""

    allowed = SYSTEM_ONLY
    needs_key = False  # repeated ids are left out

    tasks_max: int


@dataclass(frozen=True, slots=True)
class ArchiveTasks(OrderKind[ArchivedData]):
    """Archive finished tasks that the history has: those that finished at or before both limits."""

    allowed = SYSTEM_ONLY
    needs_key = False  # repeated ids are left out

    through_seq: int
    finished_before: float
    limit: int = 5000

    def work(self) -> int:
        """Return the weight of archiving as many as it may."""
        return 1 + self.limit // ARCHIVED_PER_TASK
