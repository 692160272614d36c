"""Tasks in responses: functions from views to JSON, and the models that document and check their shape.

The models are never built while serving; the HTTP tests check every response against them.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, cast, final

from pydantic import Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders.tasks import RetriedData, StandingData
from helix_ray.core.pickled import PICKLED, readable
from helix_ray.core.specs import Priority, TaskSpec
from helix_ray.core.views.tasks import ResultView, TaskLineView, TaskPageView, TaskView, stays_pickled
from helix_ray.wire.problems import ErrorBody
from helix_ray.wire.tasks import TaskStatus
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, ErrorJson, ResourcesJson, RunJson


@final
@with_config(CLOSED)
class TaskCreated(TypedDict):
    """The answer to a submit."""

    id: Annotated[str, Field(examples=["task-456"])]
    title: Annotated[str, Field(examples=["Implement user authentication"])]
    status: TaskStatus
    priority: Priority
    type: str
    created_at: Annotated[str, Field(examples=["2025-11-07T10:00:00.000Z"])]


@final
@with_config(CLOSED)
class TaskRefused(TypedDict):
    """A refused task of a batch."""

    error: ErrorBody


@with_config(CLOSED)
class BatchOut(TypedDict):
    """One entry for each task of the batch, in order."""

    tasks: list[TaskCreated | TaskRefused]
    accepted: int
    rejected: int


@final
@with_config(CLOSED)
class TaskLine(TypedDict):
    """A task in a listing."""

    id: str
    title: str
    status: TaskStatus
    priority: Priority
    type: str
    project_id: str | None
    assigned_worker: str | None
    progress: float
    created_at: str
    updated_at: str


@with_config(CLOSED)
class TaskPage(TypedDict):
    """Tasks, newest first; `total` counts all that match the filters."""

    tasks: list[TaskLine]
    total: int
    limit: int
    offset: int


@with_config(CLOSED)
class ShardsOut(TypedDict):
    """The numbers of a task's shards, and of those that completed; the shards are the
    tasks `<id>-s0` and so on."""

    count: int
    gang: bool
    completed: int


@with_config(CLOSED)
class ShardOut(TypedDict):
    """The parent of a shard, and its `index` from 0."""

    of: str
    index: int
    count: int
    gang: bool


@with_config(CLOSED)
class TaskOut(TypedDict):
    """A task. `attempt` is the number of its attempts; `failures` and `losses` count those
    since a user last queued it."""

    id: str
    title: str
    description: str | None
    type: str
    priority: Priority
    project_id: str | None
    status: TaskStatus
    assigned_worker: str | None
    progress: Annotated[float, Field(examples=[45])]
    progress_note: str | None
    owner: str
    attempt: int
    failures: int
    losses: int
    preemptions: int
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    not_before: str | None
    waits_for: list[str]
    # Only while its code waits for other tasks: those that have not ended. It holds no CPUs meanwhile.
    blocked_on: NotRequired[list[str]]
    error: ErrorJson | None
    run: RunJson | None
    resources: NotRequired[ResourcesJson | None]
    required_capabilities: NotRequired[list[str] | None]
    labels: NotRequired[dict[str, str] | None]
    depends_on: NotRequired[list[str] | None]
    max_retries: NotRequired[int | None]
    retry_backoff_s: NotRequired[float | None]
    timeout_s: NotRequired[float | None]
    deadline: NotRequired[str | None]
    strategy: NotRequired[str | None]
    preemptible: NotRequired[bool | None]
    # The trace within which it was asked for (W3C Trace Context).
    traceparent: NotRequired[str]
    shards: NotRequired[ShardsOut | None]
    shard: NotRequired[ShardOut | None]


@with_config(CLOSED)
class TaskUpdated(TypedDict):
    """The status of a task after a change."""

    id: str
    status: TaskStatus
    progress: Annotated[float, Field(examples=[100])]
    updated_at: str


@with_config(CLOSED)
class NotQueued(TypedDict):
    """A task that failed because of a retried task but was not queued again, and the reason."""

    id: str
    error: ErrorBody


@with_config(CLOSED)
class TaskRetried(TaskUpdated):
    """The status of a retried task; with `dependants` also which tasks were queued, the nearest
    first, and which were not."""

    queued: NotRequired[list[str]]
    not_queued: NotRequired[list[NotQueued]]


@with_config(CLOSED)
class ResultOut(TypedDict):
    """The outcome of a task."""

    id: str
    status: TaskStatus
    attempt: int
    assigned_worker: str | None
    finished_at: str | None
    # JSON from the code that ran the task.
    result: Any
    error: ErrorJson | None


@with_config(CLOSED)
class LogOut(TypedDict):
    """A piece of an attempt's output. `eof`: the attempt has ended and this is the end of its output.

    An `offset` behind the one that was asked for: what is between was removed. `cut_bytes` counts all.
    """

    id: str
    attempt: int
    text: str
    offset: int
    next_offset: int
    eof: bool
    cut_bytes: int


def created(task_id: str, spec: TaskSpec, waiting: bool, created_at: str) -> TaskCreated:
    """Return the answer to a submit; `created_at` is an ISO time already, the same for a whole batch."""
    return {
        "id": task_id,
        "title": spec["title"],
        "status": "waiting" if waiting else "pending",
        "priority": spec.get("priority", "normal"),
        "type": spec["type"],
        "created_at": created_at,
    }


def task_out(view: TaskView) -> TaskOut:
    """Return a task's view with ISO times, without the field for visibility. The view may be
    shared and is not changed."""
    answer = {
        **view,
        "progress": percent(view["progress"]),
        "created_at": iso(view["created_at"]),
        "updated_at": iso(view["updated_at"]),
        "started_at": iso_or_none(view["started_at"]),
        "finished_at": iso_or_none(view["finished_at"]),
        "not_before": iso_or_none(view["not_before"]),
        "error": readable(view["error"]),
    }
    del answer["holder"]
    deadline = view.get("deadline")
    if deadline is not None:
        answer["deadline"] = iso(deadline)
    return cast("TaskOut", answer)


def line_out(line: TaskLineView) -> TaskLine:
    """Return a line of a listing with ISO times, without the journal's position."""
    answer = {
        **line,
        "progress": percent(line["progress"]),
        "created_at": iso(line["created_at"]),
        "updated_at": iso(line["updated_at"]),
    }
    answer.pop("seq", None)
    return cast("TaskLine", answer)


def page_out(page: TaskPageView) -> TaskPage:
    """Return a listing, without the fields that only the history needs."""
    return {
        "tasks": [line_out(line) for line in page["tasks"]],
        "total": page["total"],
        "limit": page["limit"],
        "offset": page["offset"],
    }


def updated(data: StandingData) -> TaskUpdated:
    """Return the status of a task after an order."""
    return {
        "id": data["id"],
        "status": cast("TaskStatus", data["status"]),
        "progress": percent(data["progress"]),
        "updated_at": iso(data["updated_at"]),
    }


def retried(data: RetriedData) -> TaskRetried:
    """Return the status of a retried task, and which tasks were queued with it."""
    answer = cast("TaskRetried", updated(data))
    if "queued" in data:
        answer["queued"] = data["queued"]
        answer["not_queued"] = [
            {
                "id": one["id"],
                "error": {
                    "code": ErrorCode(one["code"]),
                    "message": one["message"],
                    "details": one["details"],
                },
            }
            for one in data["not_queued"]
        ]
    return answer


def result_out(view: ResultView) -> ResultOut:
    """Return the outcome of a task."""
    return {
        "id": view["id"],
        "status": cast("TaskStatus", view["status"]),
        "attempt": view["attempt"],
        "assigned_worker": view["assigned_worker"],
        "finished_at": iso_or_none(view["finished_at"]),
        "result": view["result"],
        "error": readable(view["error"]),
    }


def is_pickled(view: ResultView) -> bool:
    """Say whether a result is a pickled Python object, which JSON cannot represent, also where it stayed on
    its node."""
    result = view["result"]
    if isinstance(result, dict) and isinstance(result.get("shards"), list):
        return any(map(_is_pickled, result["shards"]))
    return _is_pickled(result)


def _is_pickled(result: object) -> bool:
    return stays_pickled(result) or (isinstance(result, dict) and PICKLED in result)


def percent(value: float) -> float:
    """Return whole percents as whole numbers, as the API reference shows them."""
    return int(value) if value == int(value) else value
