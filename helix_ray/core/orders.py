"""Orders: what somebody wants changed. Each becomes facts or a Rejected, by one function in core/decide.

An order travels in an Order envelope that says who asks, under which request, and with which idempotency key.
`seed` is the source of new ids: the caller makes it once, so an order that is sent again after a master's
crash makes the same ids and is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from helix_ray.core.access import Principal
from helix_ray.core.compact import compact
from helix_ray.core.errors import Rejected
from helix_ray.core.origin import NOWHERE, Origin, printable


@dataclass(frozen=True, slots=True)
class SubmitTasks:
    """Take tasks in; each spec is accepted or refused by itself. A spec holds the fields that were given.

    `settled` are dependencies that have left memory and that the history knows as completed, and as the asker's.
    `refused` are the specs that the gate did not take (core/admission.py), by index; an empty one stands in for each.
    """

    specs: tuple[dict[str, Any], ...]
    settled: frozenset[str] = frozenset()
    refused: dict[int, Rejected] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateTask:
    """Report on a task or edit it: by the worker that holds it, or by a person who may change it."""

    task_id: str
    status: str | None = None
    progress: float | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    attempt: int | None = None
    worker_id: str | None = None
    edits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelTask:
    """End a task that is not finished."""

    task_id: str
    reason: str = "cancelled by request"


@dataclass(frozen=True, slots=True)
class RetryTask:
    """Queue a failed or cancelled task again."""

    task_id: str


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Forget a task with its shards; a running attempt of it is revoked. `retired_owner` and `retired_shards` say whose
    a task is that only the history still holds, and how many shards it has."""

    task_id: str
    retired_owner: str | None = None
    retired_shards: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseTasks:
    """Queue tasks whose retry delay is over."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpireTasks:
    """Fail tasks whose deadline has passed, and attempts that outlived their timeout at an external worker."""

    task_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SpreadEndings:
    """Tell up to `tasks_max` more tasks of endings that one order could not tell to all that wait for them."""

    tasks_max: int


@dataclass(frozen=True, slots=True)
class StartAttempts:
    """Lease attempts to workers: (task id, worker id) pairs. Pairs that no longer hold are left out.

    `preempt` are attempts, (task id, attempt), that stop so that there is room for them.
    """

    pairs: tuple[tuple[str, str], ...]
    preempt: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DistributeTask:
    """Start a task (or its shards) on nodes that somebody chose: (task id, worker id) pairs as PlanTask gave them.

    From then on `strategy` and `capabilities` (beside those that it asks for already) hold for it. What is `told`
    comes back in the receipt, so that a repeated request has the first answer.
    """

    task_id: str
    pairs: tuple[tuple[str, str], ...]
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Bound what a project may hold at once (resource name, `tasks` or `queued` -> amount), and weigh its share."""

    project_id: str
    limits: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class CreateProject:
    """Define a project with its members, by username."""

    project_id: str
    name: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeProject:
    """Give a project another name or other members; None leaves them as they are."""

    project_id: str
    name: str | None = None
    members: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RemoveProject:
    """Define a project no longer; its tasks go on."""

    project_id: str


@dataclass(frozen=True, slots=True)
class AddMember:
    """Let a user submit to a project."""

    project_id: str
    username: str


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Let a user submit to a project no longer; their tasks go on."""

    project_id: str
    username: str


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """What a node worker says of one attempt.

    `outcome`: completed, failed, progressed, outlasted (it still runs, after `duration_s`, and others wait behind it
    that were not meant to), returned (handed back unstarted) or lost (its executor died).
    `retryable` is False where another try cannot help (a refused function name, a bad spec).
    """

    task_id: str
    attempt: int
    outcome: str
    result: Any = None
    error: dict[str, Any] | None = None
    progress: float | None = None
    note: str | None = None
    duration_s: float | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class ReportAttempts:
    """A node worker's reports, in order; each is answered by itself."""

    worker_id: str
    boot: str
    reports: tuple[AttemptReport, ...]


@dataclass(frozen=True, slots=True)
class RegisterWorker:
    """A worker comes up. A node worker names its node; the same id with another boot revokes its old leases."""

    hostname: str
    capabilities: tuple[str, ...]
    resources: dict[str, Any]
    worker_id: str | None = None
    kind: str = "external"
    node_id: str | None = None
    boot: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker is alive. For an external worker the receipt carries the task it should do, if any."""

    worker_id: str
    status: str | None = None
    current_task: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    boot: str | None = None
    # Counts up in one life of a worker: an older one that comes late is no sign of life.
    number: int | None = None


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """Give a worker no more work, or give it work again."""

    worker_id: str
    draining: bool = True


@dataclass(frozen=True, slots=True)
class RetireWorkers:
    """Forget workers that have been lost for longer than the policy keeps them."""

    worker_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveWorker:
    """Forget an external worker, or a node that is lost or drained; what it holds is queued again."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class LoseWorker:
    """Take a silent or dead worker's attempts away from it."""

    worker_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Add a user. `only_if_missing` answers with the present one instead of a conflict (first start)."""

    username: str
    password_hash: str
    roles: tuple[str, ...]
    only_if_missing: bool = False


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Remove a user and close their sessions."""

    username: str


@dataclass(frozen=True, slots=True)
class ChangeRoles:
    """Give a user other roles; they count from the next order on, in sessions that are open, too."""

    username: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Replace a password; every session of the user but the asker's ends."""

    user_id: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A login that succeeded. `refresh_hash` is the SHA-256 of the refresh token, hex."""

    user_id: str
    session_id: str
    refresh_hash: str
    expires_at: float
    address: str = ""


@dataclass(frozen=True, slots=True)
class RefreshSession:
    """Exchange a refresh token; one that was used before closes the session."""

    refresh_hash: str
    next_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Log out."""

    session_id: str


@dataclass(frozen=True, slots=True)
class CreateToken:
    """Give the asker an API token. `token_hash` is its SHA-256, hex; `shown` its first characters.

    No roles: all that the asker has now. `projects` None: not bound to any.
    """

    name: str
    token_hash: str
    shown: str
    ttl_s: float
    roles: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """End an API token."""

    token_id: str


@dataclass(frozen=True, slots=True)
class NoteTokenUse:
    """A replica saw an API token in use."""

    token_id: str


RefusalKind = Literal["login", "token", "forbidden", "late_report"]

REFUSED_SUBJECT_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Refusal:
    """`count` requests of one author and origin that were refused alike (core/refusals.py), as somebody noted them.

    `subject` is what the first was about: a username, a task's id, else the verb. It is cut and cleaned here, for it
    comes from outside and must not make the note of it be refused.
    """

    kind: RefusalKind
    reason: str
    subject: str
    author: str
    request_id: str
    origin: Origin = NOWHERE
    count: int = 1

    def __post_init__(self) -> None:
        if len(self.subject) > REFUSED_SUBJECT_CHARS_MAX or not self.subject.isprintable():
            object.__setattr__(self, "subject", printable(self.subject[:REFUSED_SUBJECT_CHARS_MAX]))


@dataclass(frozen=True, slots=True)
class NoteRefusals:
    """Keep for the audit what was refused before it became an order: logins, tokens, what no role allows."""

    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class RetireTasks:
    """Let finished tasks leave memory once the history has them: those finished at or before both bounds."""

    through_seq: int
    finished_before: float
    limit: int = 5000


OrderBody = (
    SubmitTasks | UpdateTask | CancelTask | RetryTask | DeleteTask | ReleaseTasks | ExpireTasks | SpreadEndings | StartAttempts
    | DistributeTask | SetQuota | ReportAttempts | RegisterWorker | Heartbeat | DrainWorker | LoseWorker
    | CreateProject | ChangeProject | RemoveProject | AddMember | RemoveMember
    | RetireWorkers | RemoveWorker | CreateUser | RemoveUser | ChangeRoles
    | ChangePassword | OpenSession | NoteRefusals | RefreshSession | CloseSession | CreateToken | RevokeToken
    | NoteTokenUse | RetireTasks
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """An order's envelope. `key` is scoped to the principal by whoever fills it in."""

    body: OrderBody
    by: Principal
    request_id: str
    seed: str
    key: str | None = None
    fingerprint: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Receipt:
    """An order that was carried out: durable up to `seq`. `replayed` says it was carried out before."""

    seq: int
    data: dict[str, Any]
    replayed: bool = False


for _kind in (Order, Receipt, AttemptReport, Refusal, *get_args(OrderBody)):
    compact(_kind)
