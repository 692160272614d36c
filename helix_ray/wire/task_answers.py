"""Tasks in responses: functions from views to JSON, and the models that document and check their shape.

The models are never built while serving; the HTTP tests check every response against them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from helix_ray.wire.problems import ErrorBody
from helix_ray.wire.tasks import PICKLED, Priority, TaskStatus
from helix_ray.wire.times import iso, iso_or_none

CLOSED = ConfigDict(extra="forbid")


class TaskCreated(BaseModel):
    """The answer to a submit."""

    model_config = CLOSED

    id: str = Field(examples=["task-456"])
    title: str = Field(examples=["Implement user authentication"])
    status: TaskStatus
    priority: Priority
    type: str
    created_at: str = Field(examples=["2025-11-07T10:00:00.000Z"])


class TaskRefused(BaseModel):
    """A refused task of a batch."""

    model_config = CLOSED

    error: ErrorBody


class BatchOut(BaseModel):
    """One entry for each task of the batch, in order."""

    model_config = CLOSED

    tasks: list[TaskCreated | TaskRefused]
    accepted: int
    rejected: int


class TaskLine(BaseModel):
    """A task in a listing."""

    model_config = CLOSED

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


class TaskPage(BaseModel):
    """Tasks, newest first; `total` counts all that match the filters."""

    model_config = CLOSED

    tasks: list[TaskLine]
    total: int
    limit: int
    offset: int


class ShardsOut(BaseModel):
    """The numbers of a task's shards, and of those that completed; the shards are the
    tasks `<id>-s0` and so on."""

    model_config = CLOSED

    count: int
    gang: bool
    completed: int


class ShardOut(BaseModel):
    """The parent of a shard, and its `index` from 0."""

    model_config = CLOSED

    of: str
    index: int
    count: int
    gang: bool


class TaskOut(BaseModel):
    """A task. `attempt` is the number of its attempts; `failures` and `losses` count those
    since a user last queued it."""

    model_config = CLOSED

    id: str
    title: str
    description: str | None
    type: str
    priority: Priority
    project_id: str | None
    status: TaskStatus
    assigned_worker: str | None
    progress: float = Field(examples=[45])
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
    error: dict[str, JsonValue] | None
    run: dict[str, JsonValue] | None
    resources: dict[str, JsonValue] | None = None
    required_capabilities: list[str] | None = None
    labels: dict[str, str] | None = None
    depends_on: list[str] | None = None
    max_retries: int | None = None
    retry_backoff_s: float | None = None
    timeout_s: float | None = None
    deadline: str | None = None
    strategy: str | None = None
    preemptible: bool | None = None
    shards: ShardsOut | None = None
    shard: ShardOut | None = None


class TaskUpdated(BaseModel):
    """The status of a task after a change."""

    model_config = CLOSED

    id: str
    status: TaskStatus
    progress: float = Field(examples=[100])
    updated_at: str


class NotQueued(BaseModel):
    """A task that failed because of a retried task but was not queued again, and the reason."""

    model_config = CLOSED

    id: str
    error: ErrorBody


class TaskRetried(TaskUpdated):
    """The status of a retried task; with `dependants` also which tasks were queued, the nearest
    first, and which were not."""

    queued: list[str] | None = None
    not_queued: list[NotQueued] | None = None


class ResultOut(BaseModel):
    """The outcome of a task."""

    model_config = CLOSED

    id: str
    status: TaskStatus
    attempt: int
    assigned_worker: str | None
    finished_at: str | None
    result: JsonValue
    error: dict[str, JsonValue] | None


class LogOut(BaseModel):
    """A piece of an attempt's output. `eof`: the attempt has ended and this is the end of its output."""

    model_config = CLOSED

    id: str
    attempt: int
    text: str
    offset: int
    next_offset: int
    eof: bool
    cut_bytes: int


def created(task_id: str, spec: dict[str, Any], waiting: bool, created_at: str) -> dict[str, Any]:
    """Return the answer to a submit; `created_at` is an ISO time already, the same for a whole batch."""
    return {
        "id": task_id,
        "title": spec["title"],
        "status": "waiting" if waiting else "pending",
        "priority": spec.get("priority", "normal"),
        "type": spec["type"],
        "created_at": created_at,
    }


def task_out(view: dict[str, Any]) -> dict[str, Any]:
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
    if view.get("deadline") is not None:
        answer["deadline"] = iso(view["deadline"])
    return answer


def line_out(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a listing with ISO times, without the journal's position."""
    answer = {
        **line,
        "progress": percent(line["progress"]),
        "created_at": iso(line["created_at"]),
        "updated_at": iso(line["updated_at"]),
    }
    answer.pop("seq", None)
    return answer


def page_out(page: dict[str, Any]) -> dict[str, Any]:
    """Return a listing, without the fields that only the history needs."""
    return {
        "tasks": [line_out(line) for line in page["tasks"]],
        "total": page["total"],
        "limit": page["limit"],
        "offset": page["offset"],
    }


def updated(data: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a task after an order."""
    return {
        "id": data["id"],
        "status": data["status"],
        "progress": percent(data["progress"]),
        "updated_at": iso(data["updated_at"]),
    }


def retried(data: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a retried task, and which tasks were queued with it."""
    answer = updated(data)
    if "queued" in data:
        answer["queued"] = data["queued"]
        answer["not_queued"] = [
            {"id": one["id"], "error": {name: one[name] for name in ("code", "message", "details")}}
            for one in data["not_queued"]
        ]
    return answer


def result_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of a task."""
    return {
        "id": view["id"],
        "status": view["status"],
        "attempt": view["attempt"],
        "assigned_worker": view["assigned_worker"],
        "finished_at": iso_or_none(view["finished_at"]),
        "result": view["result"],
        "error": readable(view["error"]),
    }


def is_pickled(view: dict[str, Any]) -> bool:
    """Say whether a result is a pickled Python object, which JSON cannot represent."""
    result = view["result"]
    if isinstance(result, dict) and isinstance(result.get("shards"), list):
        return any(isinstance(part, dict) and PICKLED in part for part in result["shards"])
    return isinstance(result, dict) and PICKLED in result


def readable(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an error without the pickled exception, also in its cause, the error of a shard."""
    if error is None or (PICKLED not in error and "cause" not in error):
        return error
    shown = {name: value for name, value in error.items() if name != PICKLED}
    if isinstance(shown.get("cause"), dict):
        shown["cause"] = readable(shown["cause"])
    return shown


def percent(value: float) -> float:
    """Return whole percents as whole numbers, as the API reference shows them."""
    return int(value) if value == int(value) else value
