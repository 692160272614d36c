"""The state that the journal folds into: tasks, workers, users, sessions, and the indexes over them.

Only core/evolve/ writes here. What is listed under "indexes" can be rebuilt from the rest and is therefore
not part of a snapshot (core/snapshot.py).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final, NamedTuple, cast

from helix_ray.core.account_records import ApiToken as ApiToken
from helix_ray.core.account_records import Ended as Ended
from helix_ray.core.account_records import Session as Session
from helix_ray.core.account_records import User as User
from helix_ray.core.blocked_on import BlockedOn
from helix_ray.core.changes import DirtyLog
from helix_ray.core.datasets import DataSets
from helix_ray.core.devices import DeviceCode, EnrolledDevice, UserDocuments
from helix_ray.core.durations import Durations
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.execution import Execution, unpack
from helix_ray.core.left import Left
from helix_ray.core.lifecycle import Status
from helix_ray.core.models import ModelRecord, ModelTask
from helix_ray.core.project_records import Project as Project
from helix_ray.core.project_records import Quota as Quota
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.secrets import SECRET_IN_RUN, below, conceal
from helix_ray.core.sharing import share_words, shared
from helix_ray.core.specs import LEVELS, Offer, Resources, Run, TaskSpec
from helix_ray.core.webhooks import Webhook

DEFAULT_CPU = 1.0
# How many assignments and revocations are kept for a node worker; one that is further behind gets the
# list of all its attempts.
INBOX_ENTRIES_MAX = 20_000
CLASSES_SHARED_MAX = 4096
# The strategy of tasks that are placed only by `distribute`.
MANUAL = "manual"
# Kinds of classes that no node runs: for external workers and users, and for parents of shards.
EXTERNAL, SHARDED = "external", "sharded"
# The rate at which tasks end is computed over this many periods of so many seconds.
DRAIN_SLICES = 6
DRAIN_SLICE_S = 10.0
LOSSES_REMEMBERED = 8
GONE_REMEMBERED = 20_000

# Shared by all tasks that have none of these, which are most: a set and a dict of their own would be a fifth
# of a task. They are never changed in place.
NOTHING: Final[frozenset[str]] = frozenset()
NO_RESULTS: Final[Mapping[str, Any]] = {}

# The resources of a running task: amounts above zero, sorted by name.
Demand = tuple[tuple[str, float], ...]


class TaskClass(NamedTuple):
    """Tasks that are equal to the scheduler: the same kind of run with the same demand and constraints."""

    kind: str
    signature: str
    demand: Demand
    capabilities: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    # The project for fair shares and quotas: the task's project_id, else its owner.
    project: str = ""
    # Empty: the cluster's default.
    strategy: str = ""
    # The id of the parent whose shards start all together or not at all.
    gang: str = ""
    # Its tasks are blocked, and hold no CPUs meanwhile (core/blocking.py).
    blocked: bool = False


@conceal
@dataclass(slots=True, kw_only=True)
class Task(Execution):
    """A task: its spec, and its execution (core/execution.py)."""

    secret_fields: ClassVar[tuple[str, ...]] = below("spec.run", SECRET_IN_RUN)

    id: str
    seq: int
    owner: str
    spec: TaskSpec
    level: int
    task_class: TaskClass
    created_at: float
    assigned_seq: int = 0
    # Non-empty exactly while the status is waiting.
    waits_for: set[str] | frozenset[str] = NOTHING
    # Only while it runs and waits for other tasks in its code.
    block: BlockedOn | None = None
    # Of a sharded task: results of the shards that are done, by index as text.
    shard_results: Mapping[str, Any] = field(default_factory=lambda: NO_RESULTS)

    @property
    def run(self) -> Run | None:
        """The task's run, or None for a task of external workers or users."""
        return self.spec.get("run")

    @property
    def blocked_on(self) -> Set[str]:
        """The unfinished tasks for which it waits in its code."""
        return NOTHING if self.block is None else self.block.on


@dataclass(slots=True, kw_only=True)
class Worker:
    """A node worker (kind "node") or an external one. Liveness is not here: it is memory, not fact."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: frozenset[str]
    resources: Offer
    labels: dict[str, str]
    node_id: str | None
    boot: str
    registered_at: float
    draining: bool = False
    lost: bool = False
    completed: int = 0
    failed: int = 0
    # When it was lost recently, epoch seconds, oldest first: a flapping node is quarantined.
    lost_at: list[float] = field(default_factory=list)
    # Seq of its newest assignment.
    turn: int = 0
    # Figures of its host that are over a threshold.
    over: dict[str, str] = field(default_factory=dict)
    # indexes
    running: dict[str, int] = field(default_factory=dict)  # task id -> attempt
    load: dict[TaskClass, int] = field(default_factory=dict)
    inbox: deque[tuple[int, str, int, bool]] = field(
        default_factory=lambda: deque(maxlen=INBOX_ENTRIES_MAX)
    )  # (seq, task id, attempt, is assignment)


@conceal
@dataclass(slots=True)
class KeptReceipt:
    """The answer for repeated requests with an idempotency key."""

    secret_fields: ClassVar[tuple[str, ...]] = ("fingerprint", "data")

    fingerprint: str
    data: Mapping[str, object]
    until: float


@dataclass(slots=True, kw_only=True)
class State:
    """The folded state of the journal as of `seq`."""

    seq: int = 0
    at: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    tokens: dict[str, ApiToken] = field(default_factory=dict)
    # Addresses from which somebody has signed in, the newest last, and when.
    sign_in_addresses: OrderedDict[str, float] = field(default_factory=OrderedDict)
    # By session or token id, the oldest first.
    ended: OrderedDict[str, Ended] = field(default_factory=OrderedDict)
    client_receipts: OrderedDict[str, KeptReceipt] = field(default_factory=OrderedDict)
    internal_receipts: OrderedDict[str, KeptReceipt] = field(default_factory=OrderedDict)
    archived_through: int = 0  # the seq at which the newest archived task finished
    exported_through: int = 0  # up to this seq the audit is kept elsewhere, too (core/decide/audit.py)
    audit_keep_s: float | None = None  # how long records stay searchable; None: no fact says it
    audit_until_exported: bool = False  # and they stay until they are exported
    journal_damage: str = ""  # what the last check of the journal found (core/decide/audit.py)
    audit_difference: str = ""  # of the history's audit from the journal (core/decide/audit.py)
    user_removed_seq: int = 0  # of the newest removal of a user
    archived: dict[str, int] = field(default_factory=dict)  # the number of archived tasks by status
    # Finished tasks that were deleted (those not in `tasks`) or queued again, with the seqs of the first and
    # the last such fact, ordered by the last: their rows in the history are out of date until it has folded
    # that fact. The newest are kept; `rewritten_dropped` is the seq of the newest dropped one.
    rewritten: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)
    rewritten_dropped: int = 0
    durations: Durations = field(default_factory=Durations)
    # How many tasks ended in each of the last DRAIN_SLICES periods: (period, count), oldest first.
    endings: list[list[int]] = field(default_factory=list)
    quotas: dict[str, Quota] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    # Removed projects that had models or data sets: their ids stay closed (core/membership.py).
    closed_projects: dict[str, None] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)
    datasets: DataSets = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    devices: dict[str, EnrolledDevice] = field(default_factory=dict)
    # By hash, the oldest first; and by user id.
    device_codes: dict[str, DeviceCode] = field(default_factory=dict, repr=False)
    documents: dict[str, UserDocuments] = field(default_factory=dict)
    # By id, the oldest first; those that are completed are forgotten when there are too many.
    erasures: dict[str, Erasure] = field(default_factory=dict)
    # Tasks that were erased, the newest last, and the seq of the FactsErased that says so: nodes remove what
    # they keep of them. The newest are remembered.
    erased_tasks: OrderedDict[str, int] = field(default_factory=OrderedDict)
    # Only while a journal is folded from its beginning: things whose first facts are erased, and that have
    # not ended yet. What the rest of their facts say is passed over (core/evolve/erasures.py).
    absent: set[str] = field(default_factory=set, compare=False)
    # Tasks whose views have changed since Engine.execute last took this set.
    changed: list[str] = field(default_factory=list, compare=False)
    # Tasks that recently left memory, the oldest first, for the visibility of their last facts. Not in a
    # snapshot, because it only concerns facts that are being delivered.
    gone: OrderedDict[str, Left] = field(default_factory=OrderedDict, compare=False)
    # indexes
    ready: dict[TaskClass, ReadyQueue] = field(default_factory=dict)
    unfinished: dict[str, int] = field(default_factory=dict)  # project -> number of unfinished tasks
    # "digits@3" -> number of unfinished tasks that name this version.
    model_uses: dict[str, int] = field(default_factory=dict)
    # Examinations and tunings whose results are not known yet, by task.
    model_tasks: dict[str, ModelTask] = field(default_factory=dict)
    # How many node workers were registered with each capacity, to reject tasks that can never run.
    node_types: dict[tuple[tuple[str, float], ...], int] = field(default_factory=dict)
    # Workers that the scheduler must recompute because their load, or whether they are
    # schedulable, has changed.
    dirty: DirtyLog = field(default_factory=DirtyLog)
    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    delayed: dict[str, float] = field(default_factory=dict)  # task id -> not before
    deadlines: dict[str, float] = field(default_factory=dict)  # unfinished task id -> deadline
    # Unfinished id -> waiting tasks, in order.
    dependents: dict[str, dict[str, None]] = field(default_factory=dict)
    # Unfinished task id -> blocked tasks that wait for it.
    blocking: dict[str, dict[str, None]] = field(default_factory=dict)
    # Priorities that unfinished tasks inherit from tasks that wait for them: task id -> (level, whose), only
    # levels above the task's own; and the ids of those that are to be looked at again, which the order
    # SpreadEndings does (core/decide/inheritance.py). Neither is an index: a snapshot has both.
    inherited: dict[str, tuple[int, str]] = field(default_factory=dict)
    dirty_levels: dict[str, None] = field(default_factory=dict)
    # Failed tasks by the dependency because of which they failed, in order.
    failed_by: dict[str, dict[str, None]] = field(default_factory=dict)
    # Tasks restored from the history: in `tasks` they are after younger ones, so listings sort them.
    restored: dict[str, None] = field(default_factory=dict, compare=False)
    # Endings that are still to be propagated, where one order had too many (core/decide/endings.py):
    # waiting tasks whose dependencies have all completed, and ids of tasks that will not complete, with the
    # error for their dependents.
    freed: dict[str, None] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    # Running tasks whose worker is gone (lost, removed or restarted) and that must still be queued
    # again, with the reason.
    orphans: dict[str, str] = field(default_factory=dict)
    finished: OrderedDict[str, int] = field(default_factory=OrderedDict)  # task id -> finish seq
    users_by_name: dict[str, str] = field(default_factory=dict)
    # The normalised name (core/usernames.py) -> ids, in order of creation.
    users_by_key: dict[str, list[str]] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)  # ids of users with the role
    sessions_by_refresh: dict[str, str] = field(default_factory=dict, repr=False)
    sessions_of: dict[str, dict[str, None]] = field(default_factory=dict)  # user id -> ids, the oldest first
    tokens_by_hash: dict[str, str] = field(default_factory=dict, repr=False)
    tokens_of: dict[str, dict[str, None]] = field(default_factory=dict)
    webhooks_of: dict[str, dict[str, None]] = field(default_factory=dict)
    devices_of: dict[str, dict[str, None]] = field(default_factory=dict)
    ended_by_hash: dict[str, str] = field(default_factory=dict, repr=False)

    def receipts(self, key: str) -> OrderedDict[str, KeptReceipt]:
        """Return the table of a key: keys of our own plane begin with `~`."""
        return self.internal_receipts if key.startswith("~") else self.client_receipts


def project_of(task: Task) -> str | None:
    """Return the project of a task; None: its owner's own."""
    return task.spec.get("project_id")


def task_of(task_id: str, seq: int, owner: str, spec: TaskSpec, created_at: float) -> Task:
    """Return a newly submitted task, with the values derived from its spec."""
    share_words(spec)
    return Task(
        id=task_id, seq=seq, owner=owner, spec=spec, level=LEVELS[spec.get("priority", "normal")],
        task_class=class_of(spec, owner), created_at=created_at, updated_at=created_at,
    )  # fmt: skip


def task_again(values: dict[str, Any]) -> Task:
    """Return a task from JSON values by field, as in a snapshot or the history; the values are consumed, and
    those derived from its spec are added."""
    spec = values["spec"]
    unpack(values)
    share_words(spec)
    for name in ("owner", "worker", "holder"):
        values[name] = shared(values.get(name))
    values["level"] = LEVELS[spec.get("priority", "normal")]
    values["task_class"] = class_of(spec, values["owner"])
    return Task(**values)


# Equal classes are one object, which saves memory with a million tasks, and bytes in messages to nodes.
_one_class = lru_cache(maxsize=CLASSES_SHARED_MAX)(TaskClass)


def class_of(spec: TaskSpec, owner: str = "") -> TaskClass:
    """Return the task class of a spec. A parent has a class of its own: only its shards are placed."""
    run = spec.get("run")
    kind, signature = EXTERNAL, ""
    if run is None:
        signature = spec["type"]
    elif run["kind"] == "function":
        kind, signature = "function", run.get("function") or ""
    elif run["kind"] == "inference":
        kind, signature = "inference", run["model"]
    else:
        kind = run["kind"]
    if "shards" in spec:
        kind, signature = SHARDED, "" if run is not None else signature
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


def demand_of(resources: Resources | None) -> Demand:
    """Return the non-zero resources of a task, sorted by name; `cpu` is DEFAULT_CPU unless given."""
    if not resources:
        return _DEFAULT_DEMAND
    # Whatever a resource is called, its value is an amount (core/spec_shape.py).
    amounts = cast("dict[str, float]", resources).items()
    demand = {name: float(amount) for name, amount in amounts if name != "custom" and amount}
    if "cpu" not in resources:
        demand["cpu"] = DEFAULT_CPU
    demand.update({name: float(amount) for name, amount in (resources.get("custom") or {}).items() if amount})
    return tuple(sorted(demand.items()))
