"""Questions: what somebody wants to know. Answers are plain JSON values (times in epoch seconds)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from helix_ray.core.access import ADMINS, EVERYBODY, READERS, SYSTEM_ONLY, Tokens, Verb
from helix_ray.core.secrets import conceal


class QuestionKind(Verb):
    """A kind of question."""

    __slots__ = ()

    # Whether its answer may take long: it travels alone to the master, so that nobody's short
    # one waits for it.
    travels_alone: ClassVar[bool] = False
    # Whether its answer takes some ten microseconds: a few of them need no turn of their own.
    short: ClassVar[bool] = False
    # Whether its answer takes tens of milliseconds on large clusters: each has a turn of its own.
    one_at_a_time: ClassVar[bool] = False
    # Whether its answer looks at every task, and is made in steps with turns for others between them.
    in_steps: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class GetTask(QuestionKind):
    """One task, whole."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    short = True

    task_id: str


@dataclass(frozen=True, slots=True)
class ListTasks(QuestionKind):
    """Tasks, newest first. `since` and `until` bound created_at: half open, epoch seconds."""

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
    # Of those in memory, the ones that were submitted by facts from the first to the second of
    # these; for the history.
    seqs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GetResult(QuestionKind):
    """The result of a finished task."""

    allowed = READERS
    tokens = Tokens.ALL

    task_id: str


@dataclass(frozen=True, slots=True)
class ReadLog(QuestionKind):
    """Output of a task's attempt (the newest one unless named) from a byte offset."""

    allowed = READERS
    tokens = Tokens.ALL

    task_id: str
    attempt: int | None = None
    offset: int = 0
    limit_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class WaitTasks(QuestionKind):
    """Which of these tasks are finished, with their results; waits until one is."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkFor(QuestionKind):
    """What a node worker has to start and stop since `after`; all that it holds when `epoch` is another."""

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
    """Who is behind a session id, or behind the hash of an API token; for API replicas only."""

    allowed = SYSTEM_ONLY
    short = True
    secret_fields = ("token_hash",)

    session_id: str | None = None
    token_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ListTokens(QuestionKind):
    """One's own API tokens; an administrator's: those of all users, or of one."""

    allowed = EVERYBODY

    username: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterStatus(QuestionKind):
    """The master and all nodes in short."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class ListNodes(QuestionKind):
    """All nodes, whole."""

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
    """Why a task is where it is, and what would help."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True

    task_id: str


@dataclass(frozen=True, slots=True)
class PlanTask(QuestionKind):
    """Where a pending task, or its shards, would go now. `capabilities` are asked for beside its own."""

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
    """The quotas of all projects, and what each uses."""

    allowed = READERS


@dataclass(frozen=True, slots=True)
class ListProjects(QuestionKind):
    """Projects with their members: all of them for those who see all tasks, else the asker's own."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetProject(QuestionKind):
    """One project."""

    allowed = READERS
    tokens = Tokens.ALL

    project_id: str


@dataclass(frozen=True, slots=True)
class Counts(QuestionKind):
    """How many tasks stand where, and how far the journal is."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class Outdated(QuestionKind):
    """What a history that has followed up to `after` says wrong; for the system only.

    With `task_ids`: which of these were deleted since. Without: which ended tasks were deleted or queued
    again, the first time by the fact `until`.
    """

    allowed = SYSTEM_ONLY

    after: int
    task_ids: tuple[str, ...] | None = None
    until: int = 0


@dataclass(frozen=True, slots=True)
class Metrics(QuestionKind):
    """Figures for /metrics: no id, no name and no text of anybody's is among them."""

    allowed = SYSTEM_ONLY


@dataclass(frozen=True, slots=True)
class Readiness(QuestionKind):
    """What requests need and is not there: `missing` has the reason by part. For the system only."""

    allowed = SYSTEM_ONLY


Question = (
    GetTask | ListTasks | GetResult | ReadLog | WaitTasks | WorkFor | ListWorkers | GetWorker | GetUser
    | ListUsers | GetSession | Counts | Outdated | Metrics | ClusterStatus | ListNodes | GetNode | ExplainTask | PlanTask
    | ListQuotas | Readiness | ListProjects | GetProject | Identify | ListTokens
)  # fmt: skip
