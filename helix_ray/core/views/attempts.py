"""What node workers hear of the attempts that they are to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from helix_ray.core.model_records import ModelFiles
from helix_ray.core.specs import Run
from helix_ray.core.state import TaskClass


class AssignmentView(TypedDict):
    """An attempt to start; `shard` is (index, count). Its code acts for `owner` in `project`, by a capability
    with this `mac`; `blobs` are digests of files that it needs, `model_files` says what those of a model
    are. `traceparent` is that of the task."""

    task_id: str
    attempt: int
    run: Run
    timeout_s: float | None
    group: TaskClass
    shard: tuple[int, int] | None
    owner: str
    project: str | None
    mac: str
    blobs: NotRequired[Sequence[str]]
    model_files: NotRequired[ModelFiles]
    traceparent: NotRequired[str]


class InboxView(TypedDict):
    """What is to be started, and what is to be stopped: (task, attempt)."""

    assign: list[AssignmentView]
    revoke: list[tuple[str, int]]


class WorkView(InboxView):
    """An inbox as of `seq`; `full`: `assign` is all that the node has."""

    full: bool
    seq: int
    epoch: int
