"""The journal's facts as a range of cursors, as a question is answered with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.state import Task


class EventRangeView(TypedDict):
    """Which cursors can be read from: after `earliest` are all facts, after `latest` those to come."""

    earliest: int
    latest: int


class NoticeTask(TypedDict):
    """What the state or the history knows of a task that facts are about (core/about.py)."""

    owner: str
    holder: str | None
    project_id: str | None
    type: str
    title: str
    status: str
    labels: Mapping[str, str] | None
    traceparent: str | None


class NoticeTasksView(TypedDict):
    """Tasks by id, and those that are not known."""

    tasks: dict[str, NoticeTask]
    unknown: list[str]


def start_of(after: int | None, found: EventRangeView) -> int | Rejected:
    """Return the cursor to begin with, by default the newest; refuse one that the journal cannot continue
    from."""
    if after is None:
        return found["latest"]
    if found["earliest"] <= after <= found["latest"]:
        return after
    where = f"from {found['earliest']} to {found['latest']}"
    message = f"The journal cannot continue from {after}, only {where}: start from `earliest`, or `latest`"
    return Rejected(ErrorCode.GONE, message, {"after": after, **found})


def notice_task(task: Task) -> NoticeTask:
    """Return what a task is, for those who are told of its facts."""
    spec = task.spec
    return {
        "owner": task.owner,
        "holder": task.holder,
        "project_id": spec.get("project_id"),
        "type": spec["type"],
        "title": spec["title"],
        "status": task.status.value,
        "labels": spec.get("labels"),
        "traceparent": spec.get("traceparent"),
    }
