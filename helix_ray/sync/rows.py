"""Tasks and documents as the JSON that devices keep."""

from __future__ import annotations

import orjson

from helix_ray.core.follows import TaskSubject, labels_of
from helix_ray.core.views.sync import DocumentRow, TaskRow
from helix_ray.sync.change_log import Thing
from helix_ray.wire.times import iso, iso_or_none

TASK = "task"


def task_thing(row: TaskRow, version: int) -> Thing:
    """Return a task as a thing: its row with times in ISO form, and its error without a pickle."""
    shown: dict[str, object] = {
        **row,
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
        "started_at": iso_or_none(row["started_at"]),
        "finished_at": iso_or_none(row["finished_at"]),
        "deadline": iso_or_none(row["deadline"]),
    }
    del shown["holder"]
    error = row["error"]
    if error is not None:
        shown["error"] = {"reason": error.get("reason"), "message": error.get("message")}
    return Thing(TASK, row["id"], version, orjson.dumps(shown))


def subject_of(row: TaskRow) -> TaskSubject:
    """Return the fields on which depends who follows a task."""
    return TaskSubject(row["owner"], row["holder"], row["project_id"], labels_of(row["labels"]))


def document_thing(row: DocumentRow) -> Thing:
    """Return a document as a thing."""
    return Thing(row["kind"], row["key"], row["version"], orjson.dumps(row["fields"]), row["user"])
