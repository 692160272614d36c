"""Facts: what has happened. Past tense, JSON values only, each kind with a version.

The classes are not frozen: building them is on the hottest path there is (three a task), and a frozen
dataclass costs four times as much to build. Nobody changes a fact after decide has made it.
A kind's name is data in journals for ever: never rename one; change its shape with a new version and an
upcaster in core/codec.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from helix_ray.core.compact import compact
from helix_ray.core.origin import NOWHERE, OK, REFUSED, Origin, Outcome
from helix_ray.core.secrets import conceal


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
class TaskAssigned:
    """A worker (or, without one, a person) holds attempt number `attempt`."""

    id: str
    attempt: int
    worker: str | None


@dataclass(slots=True)
class TaskProgressed:
    """An attempt is `progress` percent done."""

    id: str
    attempt: int
    progress: float
    note: str | None = None


@dataclass(slots=True)
class TaskOutlasted:
    """An attempt still runs after `ran_s` seconds, and others waited behind it: its kind takes longer than was known."""

    id: str
    attempt: int
    ran_s: float


@dataclass(slots=True)
class TaskRequeued:
    """A task waits for a worker again. `cause`: retry, lost, returned, preempted or manual; `not_before` in epoch
    seconds. `leases` (core/leases.py) are on record where a person asked for it: followers know of no task that has ended."""

    id: str
    attempt: int
    cause: str
    error: dict[str, Any] | None = None
    not_before: float = 0.0
    leases: list[list[Any]] | None = None


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
class TasksRetired:
    """Finished tasks left memory; the history answers for them. `through_seq` is the last one's finish."""

    ids: list[str]
    through_seq: int


@dataclass(slots=True)
class WorkerRegistered:
    """A worker is known, with what it offers."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: list[str]
    resources: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    node_id: str | None = None
    boot: str = ""


@dataclass(slots=True)
class WorkerDrained:
    """A worker gets no more work (or does again)."""

    id: str
    draining: bool


@dataclass(slots=True)
class WorkerRetired:
    """A worker that was lost long ago is forgotten."""

    id: str


@dataclass(slots=True)
class WorkerLost:
    """A worker is gone; its attempts were taken away by facts beside this one."""

    id: str
    reason: str


@dataclass(slots=True)
class QuotaSet:
    """A project (`id`) may hold so much at once, and has so much weight; no limits and a weight of 1: as all others."""

    id: str
    limits: dict[str, float]
    weight: float = 1.0


@dataclass(slots=True)
class ProjectSet:
    """A project is defined, or defined anew: its name, and the ids of its members."""

    id: str
    name: str
    members: list[str]


@dataclass(slots=True)
class ProjectRemoved:
    """A project is defined no longer."""

    id: str


@dataclass(slots=True)
class MemberAdded:
    """A user belongs to a project (`id`)."""

    id: str
    user_id: str


@dataclass(slots=True)
class MemberRemoved:
    """A user belongs to a project (`id`) no longer."""

    id: str
    user_id: str


@dataclass(slots=True)
class UserCreated:
    """A user exists."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    username: str
    password_hash: str
    roles: list[str]


@dataclass(slots=True)
class UserRemoved:
    """A user is gone, with every session."""

    id: str


@dataclass(slots=True)
class RolesChanged:
    """A user has other roles."""

    id: str
    roles: list[str]


@dataclass(slots=True)
class PasswordChanged:
    """A user has another password; sessions other than `kept_session` ended."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    password_hash: str
    kept_session: str | None = None


@dataclass(slots=True)
class SessionOpened:
    """A user logged in. `expires_at` in epoch seconds."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash",)

    id: str
    user_id: str
    refresh_hash: str
    expires_at: float
    address: str = ""


@dataclass(slots=True)
class SessionRefreshed:
    """A refresh token was exchanged for another."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash",)

    id: str
    refresh_hash: str
    expires_at: float


@dataclass(slots=True)
class SessionClosed:
    """A session ended, and why: the reasons are those of core/ended.py."""

    id: str
    reason: str


@dataclass(slots=True)
class TokenCreated:
    """A user has an API token. `shown` are its first characters; `projects` None: not bound to any."""

    secret_fields: ClassVar[tuple[str, ...]] = ("token_hash",)

    id: str
    user_id: str
    name: str
    token_hash: str
    shown: str
    roles: list[str]
    projects: list[str] | None
    expires_at: float


@dataclass(slots=True)
class TokenRevoked:
    """An API token ended: it was revoked, or cleared away after it expired."""

    id: str
    reason: str


@dataclass(slots=True)
class TokenUsed:
    """An API token is in use; noted now and then, not at every use."""

    id: str


@dataclass(slots=True)
class RequestsRefused:
    """Requests of one author and address were refused (core/refusals.py): the first, at once, or those that followed it.

    `count` says how many this fact stands for, `since` when the first was refused (None: this is the first), and
    `subjects` some of what those that followed were about, beside `id`, which is what the first was about.
    """

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    kind: str
    reason: str
    count: int = 1
    since: float | None = None
    subjects: list[str] = field(default_factory=list)


@dataclass(slots=True)
class LoginRefused:
    """Somebody gave a wrong name or password; in journals that have no RequestsRefused."""

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    address: str = ""


@dataclass(slots=True)
class ReceiptKept:
    """The answer to an order with an idempotency key, so that the same key gets it again until `until`."""

    secret_fields: ClassVar[tuple[str, ...]] = ("fingerprint", "data")

    id: str
    fingerprint: str
    data: dict[str, Any]
    until: float


@dataclass(slots=True)
class FactsErased:
    """What facts with these seqs said was erased, and why; that they happened, when and by whom stays on record."""

    seqs: list[int]
    reason: str


@dataclass(slots=True)
class Erased:
    """What an erased fact reads as: its kind, and what it was about. No fact is ever written with it."""

    id: str
    kind: str


Event = (
    TaskSubmitted | TaskReleased | TaskAssigned | TaskProgressed | TaskOutlasted | TaskRequeued | TaskCompleted | TaskFailed
    | TaskDeferred | TaskRestored
    | TaskCancelled | TaskEdited | TaskDeleted | TasksRetired | WorkerRegistered | WorkerDrained | WorkerLost | WorkerRetired
    | QuotaSet | UserCreated | UserRemoved | RolesChanged | PasswordChanged | SessionOpened | SessionRefreshed | SessionClosed
    | TokenCreated | TokenRevoked | TokenUsed
    | LoginRefused | RequestsRefused | ReceiptKept | ProjectSet | ProjectRemoved | MemberAdded | MemberRemoved | FactsErased
)  # fmt: skip


@dataclass(slots=True)
class Fact:
    """An event with its place in the journal: `seq` counts from 1, `at` is epoch seconds."""

    seq: int
    at: float
    actor: str
    request_id: str
    event: Event | Erased
    origin: Origin = NOWHERE

    @property
    def outcome(self) -> Outcome:
        """How the order ended: it follows from the kind of the event."""
        found: Outcome = getattr(self.event, "outcome", OK)
        return found


for _kind in (Fact, Erased, *get_args(Event)):
    compact(_kind)
    conceal(_kind)


def subject_of(event: Event | Erased) -> str:
    """Return the id of the thing a fact is about (empty for a fact about many)."""
    return getattr(event, "id", "")
