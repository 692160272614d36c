"""Questions: requests to read something. Answers are plain JSON values (times in epoch seconds)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from helix_ray.core.access import ADMINS, EVERYBODY, READERS, SYSTEM_ONLY, Tokens, Verb
from helix_ray.core.secrets import conceal


class QuestionKind(Verb):
    """A kind of question."""

    __slots__ = ()

    # Whether its answer may take long: it is sent to the master alone, so that short ones do not wait for it.
    travels_alone: ClassVar[bool] = False
    # Whether its answer takes about ten microseconds: a few of them are answered in one turn of the loop.
    short: ClassVar[bool] = False
    # Whether its answer takes tens of milliseconds on large clusters: each gets its own turn of the loop.
    one_at_a_time: ClassVar[bool] = False
    # Whether its answer scans all tasks: it is made in steps, with other work in between.
    in_steps: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class GetTask(QuestionKind):
    """One task with all its fields."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    short = True

    task_id: str


@dataclass(frozen=True, slots=True)
class ListTasks(QuestionKind):
    """Tasks, newest first. `since` and `until` limit created_at: half open, epoch seconds."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    in_steps = True

    status: str | None = None
    priority: str | None = None
    type: str | None = None
    project_id: str | None = None
    assigned_worker: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 50
    offset: int = 0
    # Only tasks in memory whose submit has a seq in this range; for the history.
    seqs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GetResult(QuestionKind):
    """The result of a finished task."""

    allowed = READERS
    tokens = Tokens.ALL

    task_id: str


@dataclass(frozen=True, slots=True)
class ReadLog(QuestionKind):
    """The output of a task's attempt (default: the newest) from a byte offset."""

    allowed = READERS
    tokens = Tokens.ALL

    task_id: str
    attempt: int | None = None
    offset: int = 0
    limit_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class WaitTasks(QuestionKind):
    """The finished ones of these tasks with their results; waits until there is one."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkFor(QuestionKind):
    """The changes of a node worker's assignments since `after`; all assignments when `epoch` differs."""

    allowed = SYSTEM_ONLY

    worker_id: str
    boot: str
    epoch: int
    after: int


@dataclass(frozen=True, slots=True)
class ListWorkers(QuestionKind):
    """All workers."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetWorker(QuestionKind):
    """One worker."""

    allowed = READERS
    tokens = Tokens.ALL

    worker_id: str


@dataclass(frozen=True, slots=True)
class GetUser(QuestionKind):
    """A user by id or by name; the password hash is for the system only."""

    allowed = EVERYBODY
    tokens = Tokens.ALL

    user_id: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class ListUsers(QuestionKind):
    """All users."""

    allowed = ADMINS


@conceal
@dataclass(frozen=True, slots=True)
class GetSession(QuestionKind):
    """A session by id or by the hash of its refresh token."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash",)

    session_id: str | None = None
    refresh_hash: str | None = None


@conceal
@dataclass(frozen=True, slots=True)
class Identify(QuestionKind):
    """The user of a session id, or of the hash of an API token; for API replicas only."""

    allowed = SYSTEM_ONLY
    short = True
    secret_fields = ("token_hash",)

    session_id: str | None = None
    token_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ListTokens(QuestionKind):
    """The caller's API tokens; for administrators those of all users, or of one."""

    allowed = EVERYBODY

    username: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterStatus(QuestionKind):
    """A summary of the master and all nodes."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class ListNodes(QuestionKind):
    """All nodes."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True


@dataclass(frozen=True, slots=True)
class GetNode(QuestionKind):
    """One node."""

    allowed = READERS
    tokens = Tokens.ALL

    node_id: str


@dataclass(frozen=True, slots=True)
class ExplainTask(QuestionKind):
    """The explanation of a task's placement, and what would help."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True

    task_id: str


@dataclass(frozen=True, slots=True)
class PlanTask(QuestionKind):
    """Where a pending task, or its shards, would go now. `capabilities` are
    required in addition to its own."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True

    task_id: str
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    max_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class ListQuotas(QuestionKind):
    """The quotas of all projects, and their use."""

    allowed = READERS


@dataclass(frozen=True, slots=True)
class ListProjects(QuestionKind):
    """Projects with their members: all for callers who see all tasks, else the caller's own."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetProject(QuestionKind):
    """One project."""

    allowed = READERS
    tokens = Tokens.ALL

    project_id: str


@dataclass(frozen=True, slots=True)
class ListErasures(QuestionKind):
    """Requests to erase what concerns somebody or a task, and how far they are."""

    allowed = ADMINS


@dataclass(frozen=True, slots=True)
class GetErasure(QuestionKind):
    """One request to erase."""

    allowed = ADMINS

    erasure_id: str


@dataclass(frozen=True, slots=True)
class ErasedTasks(QuestionKind):
    """Tasks that were erased since `after`: whoever keeps something of them (logs, results) removes it."""

    allowed = SYSTEM_ONLY

    after: int


@dataclass(frozen=True, slots=True)
class Counts(QuestionKind):
    """The number of tasks by status, and the journal's seq."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class Outdated(QuestionKind):
    """What is out of date in a history that has folded up to `after`; for the system only.

    With `task_ids`: those of them that were deleted since. Without: the finished tasks that were deleted or
    queued again, first at or before the fact `until`.
    """

    allowed = SYSTEM_ONLY

    after: int
    task_ids: tuple[str, ...] | None = None
    until: int = 0


@dataclass(frozen=True, slots=True)
class Metrics(QuestionKind):
    """Figures for /metrics, without ids, names or users' text."""

    allowed = SYSTEM_ONLY


@dataclass(frozen=True, slots=True)
class Readiness(QuestionKind):
    """The parts that are not ready: `missing` has the reason by part. For the system only."""

    allowed = SYSTEM_ONLY


Question = (
    GetTask | ListTasks | GetResult | ReadLog | WaitTasks | WorkFor | ListWorkers | GetWorker | GetUser
    | ListUsers | GetSession | Counts | Outdated | Metrics | ClusterStatus | ListNodes | GetNode | ExplainTask
    | PlanTask
    | ListQuotas | Readiness | ListProjects | GetProject | Identify | ListTokens
    | ListErasures | GetErasure | ErasedTasks
)  # fmt: skip
