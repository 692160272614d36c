"""What a device follows: tasks by project, label and owner, and documents of its user.

A scope joins this with what its user may see. Devices with equal scopes share one list of changes
(helix_ray/sync/change_log.py), and a device whose scope has changed starts again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from zlib import crc32

from helix_ray.core.task_scope import TaskScope

# By what a selector is found: the kind of its first condition, and its value.
Handle = tuple[str, str]


class Selector(NamedTuple):
    """A condition for tasks: all of its parts hold, and None for every task. `label` is `name=value`."""

    project: str | None = None
    label: str | None = None
    owner: str | None = None

    def takes(self, subject: TaskSubject) -> bool:
        """Say whether a task meets the condition."""
        return (
            self.project in (None, subject.project)
            and self.owner in (None, subject.owner)
            and (self.label is None or self.label in subject.labels)
        )

    def handle(self) -> Handle:
        """Return by what it is found among those of many scopes."""
        for kind, value in zip(("project", "label", "owner"), self, strict=True):
            if value is not None:
                return kind, value
        return ANY


ANY: Handle = ("any", "")


class TaskSubject(NamedTuple):
    """The fields of a task on which depends who follows it. Labels are `name=value`."""

    owner: str
    holder: str | None
    project: str | None
    labels: frozenset[str]

    def handles(self) -> Iterator[Handle]:
        """Return the handles of all selectors that may take it."""
        yield ANY
        yield "owner", self.owner
        if self.project is not None:
            yield "project", self.project
        for label in self.labels:
            yield "label", label

    def users(self) -> Iterator[str | None]:
        """Return the users of all task scopes that may have it; None is that of everybody's tasks."""
        yield None
        yield self.owner
        if self.holder is not None and self.holder != self.owner:
            yield self.holder


class Scope(NamedTuple):
    """What a device sees: tasks in `tasks` that a selector takes, and `kinds` of documents of `user`."""

    user: str
    tasks: TaskScope
    selectors: tuple[Selector, ...]
    kinds: tuple[str, ...]

    def has_task(self, subject: TaskSubject) -> bool:
        """Say whether a task is in it."""
        seen = self.tasks.has(subject.owner, subject.holder, subject.project)
        return seen and any(selector.takes(subject) for selector in self.selectors)

    def text(self) -> str:
        """Return the same text for equal scopes, and only for these."""
        return json.dumps(self, separators=(",", ":"))


def scope_from(text: str) -> Scope:
    """Return the scope whose text this is."""
    user, (seen_by, projects), selectors, kinds = json.loads(text)
    seen = TaskScope(seen_by, None if projects is None else tuple(projects))
    return Scope(user, seen, tuple(Selector(*each) for each in selectors), tuple(kinds))


def labels_of(labels: Mapping[str, str] | None) -> frozenset[str]:
    """Return labels in the form of selectors."""
    return frozenset(f"{name}={value}" for name, value in (labels or {}).items())


def shard_of(device_id: str, shards: int) -> int:
    """Return the number of the SyncDevices actor that holds a device."""
    return crc32(device_id.encode()) % shards
