"""Tasks, their results and their output as questions are answered with them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

from helix_ray.core.errors import Rejected
from helix_ray.core.lifecycle import Status
from helix_ray.core.secrets import MASK, SEALED_IN_RUN, rewritten
from helix_ray.core.specs import Priority, Resources, Run, Shard, TaskError
from helix_ray.core.state import Task

SpecField = Literal[
    "resources", "required_capabilities", "labels", "depends_on", "max_retries", "retry_backoff_s",
    "timeout_s", "deadline", "strategy", "preemptible", "traceparent",
    "shard",
]  # fmt: skip
# Fields of a spec that a task's view shows unchanged.
SPEC_FIELDS: tuple[SpecField, ...] = get_args(SpecField)
LARGE_OF_RUN = frozenset({"payload", "inputs"})
HIDDEN_OF_RUN = frozenset({*LARGE_OF_RUN, *(way.partition(".")[0] for way in SEALED_IN_RUN)})


class ShardsView(TypedDict):
    """How many shards a task has, and how many of them are completed."""

    count: int
    gang: bool
    completed: int


class ShownSpec(TypedDict):
    """What a task's view shows of its spec: the fields that were given."""

    resources: NotRequired[Resources | None]
    required_capabilities: NotRequired[list[str] | None]
    labels: NotRequired[dict[str, str] | None]
    depends_on: NotRequired[list[str]]
    max_retries: NotRequired[int]
    retry_backoff_s: NotRequired[float | None]
    timeout_s: NotRequired[float | None]
    strategy: NotRequired[str | None]
    preemptible: NotRequired[bool]
    traceparent: NotRequired[str]
    shard: NotRequired[Shard]
    shards: NotRequired[ShardsView]


class TaskView(ShownSpec):
    """One task, whole."""

    id: str
    title: str
    description: str | None
    type: str
    priority: Priority
    project_id: str | None
    status: str
    assigned_worker: str | None
    progress: float
    progress_note: str | None
    owner: str
    holder: str | None
    attempt: int
    failures: int
    losses: int
    preemptions: int
    created_at: float
    updated_at: float
    started_at: float | None
    finished_at: float | None
    not_before: float | None
    waits_for: list[str]
    error: TaskError | None
    run: Run | None
    deadline: NotRequired[float | None]
    # Only while its code waits for these.
    blocked_on: NotRequired[list[str]]


class TaskLineView(TypedDict):
    """One task as a line of a listing; `seq` is that of its submit."""

    id: str
    title: str
    status: str
    priority: Priority
    type: str
    project_id: str | None
    assigned_worker: str | None
    progress: float
    created_at: float
    updated_at: float
    seq: int


class TaskPageView(TypedDict):
    """A page of a listing, and for the history where its part begins, as of when, and the seqs of the tasks
    before the page."""

    tasks: list[TaskLineView]
    total: int
    limit: int
    offset: int
    archived: int
    archived_through: int
    seq: int
    before: list[int]


class ResultView(TypedDict):
    """How a task ended. `result` is JSON from the code that ran it."""

    id: str
    status: str
    attempt: int
    assigned_worker: str | None
    finished_at: float | None
    result: Any
    error: TaskError | None
    owner: str
    holder: str | None
    project_id: str | None


class EndedView(TypedDict):
    """Which of some tasks have ended, which are unknown, and how many are neither. `unavailable` are those
    that only the history can know, which does not respond, `why`."""

    done: list[ResultView]
    unknown: list[str]
    open: int
    unavailable: NotRequired[list[str]]
    why: NotRequired[Rejected]


class LogView(TypedDict):
    """A piece of an attempt's output. `eof`: the attempt has ended and all was read.

    An `offset` behind the one that was asked for: what is between was removed. `cut_bytes` counts all.
    """

    attempt: int
    text: str
    offset: int
    next_offset: int
    eof: bool
    cut_bytes: int


class ItemsView(TypedDict):
    """A piece of the file with what an attempt has yielded (execution/item_file.py). `eof`: the attempt has
    ended and all was read."""

    attempt: int
    data: bytes
    next_offset: int
    eof: bool


def stays_pickled(result: object) -> bool:
    """Say whether a result stands for Python objects that were too large for the journal, or were yielded."""
    return (
        isinstance(result, dict)
        and result.get("stored") in ("object_store", "items")
        and result.get("format") == "pickle"
    )


def stays_on_node(result: object) -> bool:
    """Say whether a result stands for a value that was too large for the journal, and that its node has."""
    return (
        isinstance(result, dict)
        and result.get("stored") == "object_store"
        and "value" not in result
        and "pickled" not in result
    )


def is_away(result: Any) -> bool:
    """Say whether a result, or that of a shard, stands for one that is on a node."""
    if not isinstance(result, dict):
        return False
    parts = result.get("shards")
    return "stored" in result or (isinstance(parts, list) and any(map(is_away, parts)))


def task_view(task: Task) -> TaskView:
    """Return one task."""
    spec = task.spec
    view: TaskView = {
        "id": task.id,
        "title": spec["title"],
        "description": spec.get("description"),
        "type": spec["type"],
        "priority": spec.get("priority", "normal"),
        "project_id": spec.get("project_id"),
        "status": task.status.value,
        "assigned_worker": task.worker,
        "progress": task.progress,
        "progress_note": task.note,
        "owner": task.owner,
        "holder": task.holder,
        "attempt": task.attempt,
        "failures": task.failures,
        "losses": task.losses,
        "preemptions": task.preemptions,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "not_before": task.not_before or None,
        "waits_for": sorted(task.waits_for),
        "error": task.error,
        "run": shown_run(task.run),
    }
    if task.block is not None:
        view["blocked_on"] = sorted(task.blocked_on)
    shards = spec.get("shards")
    if shards is not None:
        done = shards["count"] if task.status is Status.COMPLETED else len(task.shard_results)
        view["shards"] = {"count": shards["count"], "gang": bool(shards.get("gang")), "completed": done}
    for name in SPEC_FIELDS:
        if name in spec:
            view[name] = spec[name]
    return view


def shown_run(run: Run | None) -> Run | None:
    """Return a run for display: without large parts (pickled payloads, inference inputs), and with
    masked environments and standard input."""
    if run is None or run.keys().isdisjoint(HIDDEN_OF_RUN):
        return run
    # Whatever its kind: what is secret must not depend on that.
    shown = {name: value for name, value in run.items() if name not in LARGE_OF_RUN}
    return cast("Run", rewritten(shown, SEALED_IN_RUN, lambda _: MASK))


def task_line(task: Task) -> TaskLineView:
    """Return one task as a line of a listing."""
    spec = task.spec
    return {
        "id": task.id,
        "title": spec["title"],
        "status": task.status.value,
        "priority": spec.get("priority", "normal"),
        "type": spec["type"],
        "project_id": spec.get("project_id"),
        "assigned_worker": task.worker,
        "progress": task.progress,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "seq": task.seq,
    }


def result_view(task: Task) -> ResultView:
    """Return a finished task's outcome."""
    return {
        "id": task.id,
        "status": task.status.value,
        "attempt": task.attempt,
        "assigned_worker": task.worker,
        "finished_at": task.finished_at,
        "result": task.result,
        "error": task.error,
        "owner": task.owner,
        "holder": task.holder,
        "project_id": task.spec.get("project_id"),
    }
