"""Synced devices as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.follows import Scope
from helix_ray.core.specs import Priority, TaskError
from helix_ray.core.state import Task, project_of


class TaskRow(TypedDict):
    """A task as devices keep it: without what it runs, and without its result. Times are epoch seconds."""

    id: str
    title: str
    description: str | None
    type: str
    priority: Priority
    status: str
    project_id: str | None
    owner: str
    holder: str | None
    labels: dict[str, str]
    assigned_worker: str | None
    progress: float
    progress_note: str | None
    error: TaskError | None
    created_at: float
    updated_at: float
    started_at: float | None
    finished_at: float | None
    deadline: float | None


class DocumentRow(TypedDict):
    """A document of a user; `version` is the seq of its last change, `fields` is JSON of the user's own."""

    user: str
    kind: str
    key: str
    version: int
    fields: dict[str, object]


class RowsView(TypedDict):
    """Tasks and documents as of `seq`; what does not exist (any more) is left out. Where there are too many,
    it is not `whole`."""

    tasks: list[TaskRow]
    documents: list[DocumentRow]
    seq: int
    whole: bool


class BoardDevice(TypedDict):
    """An enrolled device: whose it is, what it may see and follows, and the last mutation that was taken."""

    id: str
    user: str
    name: str
    type: str
    scope: Scope
    last_mutation: int
    # Why the last mutation was refused; None: it was not.
    refused: str | None
    enrolled_at: float


class BoardView(TypedDict):
    """Some enrolled devices, how many there are in all, and as of which seq."""

    devices: list[BoardDevice]
    total: int
    seq: int


class ChangeView(TypedDict):
    """A change of one thing: `op` is "put" or "delete", `row` is the thing as JSON text, if it is there."""

    op: str
    kind: str
    key: str
    version: int
    row: bytes | None


class ChangesView(TypedDict):
    """A page of changes. `first`: it belongs to a first pull; `checksum` and `rows` are those of all that the
    device has after this page, None while there is more."""

    changes: list[ChangeView]
    cursor: str
    has_more: bool
    first: bool
    checksum: str | None
    rows: int | None
    last_mutation: int
    server_time: float


class SyncedDevice(TypedDict):
    """A device in the status: when it last had everything (None: never), and how it is doing. `refused` says
    why the last thing that it sent was refused, if it was."""

    device_id: str
    device_type: str
    name: str
    last_sync: float | None
    status: str
    refused: str | None


class SyncStatusView(TypedDict):
    """The devices of a user, or of all for administrators."""

    devices: list[SyncedDevice]


def task_row(task: Task) -> TaskRow:
    """Return a task as devices keep it."""
    spec = task.spec
    return {
        "id": task.id,
        "title": spec["title"],
        "description": spec.get("description"),
        "type": spec["type"],
        "priority": spec.get("priority", "normal"),
        "status": task.status.value,
        "project_id": project_of(task),
        "owner": task.owner,
        "holder": task.holder,
        "labels": spec.get("labels") or {},
        "assigned_worker": task.worker,
        "progress": task.progress,
        "progress_note": task.note,
        "error": task.error,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "deadline": spec.get("deadline"),
    }
