"""Questions: what somebody wants to know. Answers are plain JSON values (times in epoch seconds)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GetTask:
    """One task, whole."""

    task_id: str


@dataclass(frozen=True, slots=True)
class ListTasks:
    """Tasks, newest first. `since` and `until` bound created_at: half open, epoch seconds."""

    status: str | None = None
    priority: str | None = None
    type: str | None = None
    project_id: str | None = None
    assigned_worker: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class GetResult:
    """The result of a finished task."""

    task_id: str


@dataclass(frozen=True, slots=True)
class ReadLog:
    """Output of a task's attempt (the newest one unless named) from a byte offset."""

    task_id: str
    attempt: int | None = None
    offset: int = 0
    limit_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class WaitTasks:
    """Which of these tasks are finished, with their results; waits until one is."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkFor:
    """What a node worker has to start and stop since `after`; all that it holds when `epoch` is another."""

    worker_id: str
    boot: str
    epoch: int
    after: int


@dataclass(frozen=True, slots=True)
class ListWorkers:
    """All workers."""


@dataclass(frozen=True, slots=True)
class GetWorker:
    """One worker."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class GetUser:
    """A user by id or by name; the password hash is for the system only."""

    user_id: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class ListUsers:
    """All users."""


@dataclass(frozen=True, slots=True)
class GetSession:
    """A session by id or by the hash of its refresh token."""

    session_id: str | None = None
    refresh_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Identify:
    """Who is behind a session id, or behind the hash of an API token; for API replicas only."""

    session_id: str | None = None
    token_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ListTokens:
    """One's own API tokens; an administrator's: those of all users, or of one."""

    username: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The master and all nodes in short."""


@dataclass(frozen=True, slots=True)
class ListNodes:
    """All nodes, whole."""


@dataclass(frozen=True, slots=True)
class GetNode:
    """One node."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ExplainTask:
    """Why a task is where it is, and what would help."""

    task_id: str


@dataclass(frozen=True, slots=True)
class PlanTask:
    """Where a pending task, or its shards, would go now. `capabilities` are asked for beside its own."""

    task_id: str
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    max_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class ListQuotas:
    """The quotas of all projects, and what each uses."""


@dataclass(frozen=True, slots=True)
class ListProjects:
    """Projects with their members: all of them for those who see all tasks, else the asker's own."""


@dataclass(frozen=True, slots=True)
class GetProject:
    """One project."""

    project_id: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks stand where, and how far the journal is."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """What a history that has followed up to `after` says wrong; for the system only.

    With `task_ids`: which of these were deleted since. Without: which ended tasks were deleted or queued again, up to
    the fact `until`.
    """

    after: int
    task_ids: tuple[str, ...] | None = None
    until: int = 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures for /metrics: no id, no name and no text of anybody's is among them."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The token keys; for API replicas of this cluster only."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What requests need and is not there: `missing` has the reason by part. For the system only."""


Question = (
    GetTask | ListTasks | GetResult | ReadLog | WaitTasks | WorkFor | ListWorkers | GetWorker | GetUser
    | ListUsers | GetSession | Counts | Outdated | Metrics | SigningKeys | ClusterStatus | ListNodes | GetNode | ExplainTask | PlanTask
    | ListQuotas | Readiness | ListProjects | GetProject | Identify | ListTokens
)  # fmt: skip
