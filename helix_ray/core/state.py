"""The state that the journal folds into: tasks, workers, users, sessions, and the indexes over them.

Only core/evolve/ writes here. What is listed under "indexes" can be rebuilt from the rest and is therefore
not part of a snapshot (core/snapshot.py).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from helix_ray.core.changes import DirtyLog
from helix_ray.core.durations import Durations
from helix_ray.core.execution import Execution, unpack
from helix_ray.core.lifecycle import Status
from helix_ray.core.secrets import conceal

PRIORITIES = ("low", "normal", "high", "critical")
LEVELS = {name: level for level, name in enumerate(PRIORITIES)}
DEFAULT_CPU = 1.0
# Assignments and revocations a node worker may still have to hear about; one that fell behind by more gets
# the parent list of its attempts instead.
INBOX_ENTRIES_MAX = 20_000
CLASSES_SHARED_MAX = 4096
# The strategy of tasks that nobody places until somebody distributes them.
MANUAL = "manual"
# Kinds of classes that no node runs: external workers and people do the one, shards the other.
EXTERNAL, SHARDED = "external", "sharded"
# The rate at which tasks end is computed over this many periods of so many seconds.
DRAIN_SLICES = 6
DRAIN_SLICE_S = 10.0
LOSSES_REMEMBERED = 8
GONE_REMEMBERED = 20_000


# What a task uses while it runs: amounts above zero, sorted by name.
Demand = tuple[tuple[str, float], ...]


class TaskClass(NamedTuple):
    """Tasks that are equal to the scheduler: the same kind of run with the same demand and constraints."""

    kind: str
    signature: str
    demand: Demand
    capabilities: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    # Whose share of the cluster it counts against: the task's project_id, else its owner.
    project: str = ""
    # Empty: the cluster's own.
    strategy: str = ""
    # Id of the sharded task whose shards start all together or not at all.
    gang: str = ""


@conceal
@dataclass(slots=True, kw_only=True)
class Task(Execution):
    """One task: what was submitted, and how it stands (core/execution.py)."""

    secret_fields: ClassVar[tuple[str, ...]] = ("spec.run.env.*", "spec.run.payload")

    id: str
    seq: int
    owner: str
    spec: dict[str, Any]
    level: int
    task_class: TaskClass
    created_at: float
    assigned_seq: int = 0
    # Non-empty exactly while the status is waiting.
    waits_for: set[str] = field(default_factory=set)
    # Of a sharded task: results of the shards that are done, by index as text.
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> dict[str, Any] | None:
        """What the task does, or None for a task that external workers or people do."""
        run: dict[str, Any] | None = self.spec.get("run")
        return run


@dataclass(slots=True)
class Worker:
    """A node worker (kind "node") or an external one. Liveness is not here: it is memory, not fact."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: frozenset[str]
    resources: dict[str, Any]
    labels: dict[str, str]
    node_id: str | None
    boot: str
    registered_at: float
    draining: bool = False
    lost: bool = False
    completed: int = 0
    failed: int = 0
    # When it was lost lately, epoch seconds, oldest first: one that keeps going away is trusted less.
    lost_at: list[float] = field(default_factory=list)
    # Seq of its newest assignment.
    turn: int = 0
    # indexes
    running: dict[str, int] = field(default_factory=dict)  # task id -> attempt
    load: dict[TaskClass, int] = field(default_factory=dict)
    inbox: deque[tuple[int, str, int, bool]] = field(
        default_factory=lambda: deque(maxlen=INBOX_ENTRIES_MAX)
    )  # (seq, task id, attempt, is assignment)


@conceal
@dataclass(slots=True)
class User:
    """Somebody who may log in."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    username: str
    password_hash: str
    roles: tuple[str, ...]
    created_at: float


@conceal
@dataclass(slots=True)
class Session:
    """A login. `spent` holds hashes of refresh tokens that were exchanged, and when, the newest last: one
    that is seen again much later is a theft."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash", "spent")

    id: str
    user_id: str
    refresh_hash: str
    expires_at: float
    opened_at: float
    spent: dict[str, float] = field(default_factory=dict)


@conceal
@dataclass(slots=True)
class ApiToken:
    """A long-lived credential of a program. `shown` are the first characters of its secret, for
    people to tell it by."""

    secret_fields: ClassVar[tuple[str, ...]] = ("token_hash",)

    id: str
    user_id: str
    name: str
    token_hash: str
    shown: str
    roles: tuple[str, ...]
    # None: not bound to projects.
    projects: tuple[str, ...] | None
    created_at: float
    expires_at: float
    last_used_at: float | None = None


@conceal
@dataclass(slots=True)
class Ended:
    """A session or API token that ended: why (core/ended.py), when, and the hashes that
    somebody may still come with."""

    secret_fields: ClassVar[tuple[str, ...]] = ("hashes",)

    user_id: str
    reason: str
    at: float
    hashes: list[str]


@conceal
@dataclass(slots=True)
class KeptReceipt:
    """The answer that an idempotency key gets again."""

    secret_fields: ClassVar[tuple[str, ...]] = ("fingerprint", "data")

    fingerprint: str
    data: dict[str, Any]
    until: float


@dataclass(slots=True)
class Quota:
    """What a project may use at a time, by resource name (`tasks`: attempts; `queued`: unfinished tasks), and
    the weight of its fair share."""

    limits: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(slots=True)
class Project:
    """Who may submit to a project: user ids, in the order in which they came."""

    id: str
    name: str
    created_at: float
    members: dict[str, None] = field(default_factory=dict)


class ReadyQueue:
    """Pending tasks of one class by priority; within one, those that were running before,
    then in order of arrival."""

    __slots__ = ("levels", "size")

    def __init__(self) -> None:
        self.levels: tuple[OrderedDict[str, float], ...] = tuple(OrderedDict() for _ in PRIORITIES)
        self.size = 0

    def add(self, task_id: str, level: int, created_at: float, *, first: bool) -> None:
        """Put a task at the end of its level, or at its front when it was there before."""
        line = self.levels[level]
        line[task_id] = created_at
        if first:
            line.move_to_end(task_id, last=False)
        self.size += 1

    def discard(self, task_id: str, level: int) -> None:
        """Take a task out, if it is there."""
        if self.levels[level].pop(task_id, None) is not None:
            self.size -= 1

    def head(self, aging_s: float) -> tuple[float, int] | None:
        """Return (rank, level) of the next task; a lower rank goes first.

        Rank is the submit time less `aging_s` for each level of priority, so a task that has waited
        `aging_s` longer overtakes one a level above it: nothing starves.
        """
        best: tuple[float, int] | None = None
        for level, line in enumerate(self.levels):
            if line:
                rank = next(iter(line.values())) - level * aging_s
                if best is None or rank <= best[0]:
                    best = (rank, level)
        return best


@dataclass(slots=True)
class State:
    """Everything the journal says, as of `seq`."""

    seq: int = 0
    at: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    tokens: dict[str, ApiToken] = field(default_factory=dict)
    # By session or token id, the oldest first.
    ended: OrderedDict[str, Ended] = field(default_factory=OrderedDict)
    client_receipts: OrderedDict[str, KeptReceipt] = field(default_factory=OrderedDict)
    internal_receipts: OrderedDict[str, KeptReceipt] = field(default_factory=OrderedDict)
    # Finish seq of the newest retired task, and how many were retired by status.
    retired_through: int = 0
    retired: dict[str, int] = field(default_factory=dict)
    # Ended tasks that were deleted (those not in `tasks`) or queued again, with the seqs of the first and the
    # last time since they were in memory, by the last: what the history says of them is out of date until it
    # has followed so far. The newest are kept; `rewritten_dropped` is the seq of the newest that is not.
    rewritten: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)
    rewritten_dropped: int = 0
    durations: Durations = field(default_factory=Durations)
    # How many tasks ended in each of the newest DRAIN_SLICES slices of time: (slice, count), oldest first.
    endings: list[list[int]] = field(default_factory=list)
    quotas: dict[str, Quota] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    # Tasks whose views have changed since whoever folds took them away (Engine.execute).
    changed: list[str] = field(default_factory=list, compare=False)
    # Owner, holder and project of tasks that left memory lately, the oldest first: who may hear of their last
    # facts. Not in a snapshot: it is about facts that are just being told.
    gone: OrderedDict[str, tuple[str, str | None, str | None]] = field(
        default_factory=OrderedDict, compare=False
    )
    # indexes
    ready: dict[TaskClass, ReadyQueue] = field(default_factory=dict)
    unfinished: dict[str, int] = field(default_factory=dict)  # project -> tasks that are not finished
    # How many node workers were registered with each capacity: what a task could ever get.
    node_types: dict[tuple[tuple[str, float], ...], int] = field(default_factory=dict)
    # Workers that the scheduler has to recompute: their load, and whether they are schedulable.
    dirty: DirtyLog = field(default_factory=DirtyLog)
    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    delayed: dict[str, float] = field(default_factory=dict)  # task id -> not before
    deadlines: dict[str, float] = field(default_factory=dict)  # unfinished task id -> deadline
    dependents: dict[str, dict[str, None]] = field(
        default_factory=dict
    )  # unfinished id -> who waits, in order
    # Failed tasks by the dependency that they failed because of, in order.
    failed_by: dict[str, dict[str, None]] = field(default_factory=dict)
    # Tasks that came back from the history: they stand behind younger ones in `tasks`, which
    # listings make up for.
    restored: dict[str, None] = field(default_factory=dict, compare=False)
    # What is still to be told of endings, where one order had too many to tell (core/decide/endings.py):
    # waiting tasks whose dependencies are all completed, and ids that will not be completed and are waited
    # for, with what to tell of them.
    freed: dict[str, None] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    # Running tasks whose worker is gone (lost, removed or started again), which are still to be
    # queued again, and why.
    orphans: dict[str, str] = field(default_factory=dict)
    finished: OrderedDict[str, int] = field(default_factory=OrderedDict)  # task id -> finish seq
    users_by_name: dict[str, str] = field(default_factory=dict)
    # core/usernames.py: what spellings of one name have in common -> ids, in order of creation.
    users_by_key: dict[str, list[str]] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)  # ids of users with that role
    sessions_by_refresh: dict[str, str] = field(default_factory=dict, repr=False)
    sessions_of: dict[str, dict[str, None]] = field(default_factory=dict)  # user id -> ids, the oldest first
    tokens_by_hash: dict[str, str] = field(default_factory=dict, repr=False)
    tokens_of: dict[str, dict[str, None]] = field(default_factory=dict)
    ended_by_hash: dict[str, str] = field(default_factory=dict, repr=False)

    def receipts(self, key: str) -> OrderedDict[str, KeptReceipt]:
        """Return the shelf that a key belongs to: keys our own plane made begin with `~`."""
        return self.internal_receipts if key.startswith("~") else self.client_receipts


def project_of(task: Task) -> str | None:
    """Return the project that a task was submitted to; None: its owner's own."""
    project: str | None = task.spec.get("project_id")
    return project


def task_of(task_id: str, seq: int, owner: str, spec: dict[str, Any], created_at: float) -> Task:
    """Return a task as it is submitted, with what follows from its spec."""
    return Task(
        id=task_id, seq=seq, owner=owner, spec=spec, level=LEVELS[spec.get("priority", "normal")],
        task_class=class_of(spec, owner), created_at=created_at, updated_at=created_at,
    )  # fmt: skip


def task_again(values: dict[str, Any]) -> Task:
    """Return a task of JSON values by field, as a snapshot and the history have them, which are used up; what follows from its
    spec is added."""
    spec = values["spec"]
    unpack(values)
    values["level"] = LEVELS[spec.get("priority", "normal")]
    values["task_class"] = class_of(spec, values["owner"])
    return Task(**values)


# Equal classes are one object: a million tasks share it, and so does what travels to a node about them.
_one_class = lru_cache(maxsize=CLASSES_SHARED_MAX)(TaskClass)


def class_of(spec: dict[str, Any], owner: str = "") -> TaskClass:
    """Return the scheduler's class of a task spec. A sharded task is of a class of its
    own: its shards are placed."""
    run = spec.get("run")
    kind = run["kind"] if run else EXTERNAL
    if "shards" in spec:
        kind = SHARDED
    signature = ""
    if run is None:
        signature = spec["type"]
    elif kind == "function":
        signature = run.get("function") or ""
    elif kind == "inference":
        signature = run["model"]
    capabilities = spec.get("required_capabilities")
    labels = spec.get("labels")
    shard = spec.get("shard")
    return _one_class(
        kind,
        signature,
        demand_of(spec.get("resources")),
        tuple(sorted(capabilities)) if capabilities else (),
        tuple(sorted(labels.items())) if labels else (),
        spec.get("project_id") or owner,
        spec.get("strategy") or "",
        shard["of"] if shard and shard.get("gang") else "",
    )


_DEFAULT_DEMAND = (("cpu", DEFAULT_CPU),)


def demand_of(resources: dict[str, Any] | None) -> Demand:
    """Return the non-zero demands of a task, sorted by name; `cpu` is DEFAULT_CPU unless given."""
    if not resources:
        return _DEFAULT_DEMAND
    demand = {name: float(amount) for name, amount in resources.items() if name != "custom" and amount}
    if "cpu" not in resources:
        demand["cpu"] = DEFAULT_CPU
    demand.update({name: float(amount) for name, amount in (resources.get("custom") or {}).items() if amount})
    return tuple(sorted(demand.items()))
