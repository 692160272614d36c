"""A desk on a file in memory, the state behind it as plain dicts, and devices that follow it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.errors import Rejected
from helix_ray.core.follows import Scope, Selector, TaskSubject, labels_of
from helix_ray.core.questions import DeviceBoard, PullChanges, ScopeRows
from helix_ray.core.task_scope import TaskScope
from helix_ray.core.views.sync import BoardDevice, ChangesView, RowsView
from helix_ray.sync import checksum
from helix_ray.sync.affected import Affected
from helix_ray.sync.change_log import MEMORY, ChangeLog
from helix_ray.sync.desk import SyncDesk

KEY = b"k" * 32
NOW = 1_000_000.0
KINDS = ("settings", "notes")


def scope(user: str, *selectors: Selector, everybody: bool = False) -> Scope:
    """What a device of a user follows; all of the user's tasks without selectors."""
    seen = TaskScope(None if everybody else user, None)
    return Scope(user, seen, selectors or (Selector(owner=user),), KINDS)


@dataclass
class World:
    """Tasks and documents as they are, and the desk; each change is one fact."""

    desk: SyncDesk = field(default_factory=lambda: SyncDesk(ChangeLog(MEMORY), KEY, 30.0))
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, BoardDevice] = field(default_factory=dict)
    seq: int = 0
    now: float = NOW

    def enrol(self, device_id: str, what: Scope) -> None:
        """Enrol a device, or change what it follows."""
        self.devices[device_id] = {
            "id": device_id, "user": what.user, "name": device_id, "type": "phone", "scope": what,
            "last_mutation": 0, "refused": None, "enrolled_at": self.now,
        }  # fmt: skip
        self.take_fact(Affected(devices={device_id}))

    def revoke(self, device_id: str) -> None:
        """Revoke a device."""
        del self.devices[device_id]
        self.take_fact(Affected(devices={device_id}))

    def set_task(self, task_id: str, owner: str, **fields: Any) -> None:
        """Submit a task, or change it."""
        self.seq += 1
        row = {
            "id": task_id, "title": "a", "owner": owner, "holder": None, "project_id": None, "labels": {},
            "error": None, "created_at": self.now, "updated_at": self.now, "started_at": None,
            "finished_at": None, "deadline": None, "version": self.seq, **fields,
        }  # fmt: skip
        self.tasks[task_id] = row
        self.seq -= 1
        self.take_fact(Affected(tasks={task_id: self.seq + 1}, entering={task_id: None}))

    def drop_task(self, task_id: str) -> None:
        """Delete a task."""
        self.tasks.pop(task_id, None)
        self.take_fact(Affected(tasks={task_id: self.seq + 1}))

    def set_document(self, user: str, kind: str, key: str, **fields: Any) -> None:
        """Write a document of a user; delete it where no fields are given."""
        if fields:
            self.documents[user, kind, key] = fields
        else:
            self.documents.pop((user, kind, key), None)
        self.take_fact(Affected(documents={(user, kind, key): self.seq + 1}))

    def take_fact(self, affected: Affected) -> None:
        """Let the desk take one more fact."""
        self.seq += 1
        taking = self.desk.taking(affected, self.seq, self.now)
        with suppress(StopIteration):
            question = next(taking)
            while True:
                question = taking.send(self._answer(question))

    def _answer(self, question: Any) -> Any:
        if isinstance(question, DeviceBoard):
            ids = question.device_ids if question.device_ids is not None else tuple(self.devices)
            devices = [self.devices[each] for each in ids if each in self.devices]
            return {"devices": devices, "total": len(self.devices), "seq": self.seq}
        if isinstance(question, ScopeRows):
            rows = self._in_scope(question.scope)
            return rows if len(rows["tasks"]) <= question.rows_max else {**rows, "whole": False}
        tasks = [self.tasks[i] for i in question.task_ids if i in self.tasks]
        return self._rows(tasks, [key for key in question.documents if key in self.documents])

    def _in_scope(self, what: Scope) -> RowsView:
        tasks = [row for row in self.tasks.values() if what.has_task(_subject(row))]
        return self._rows(
            tasks, [key for key in self.documents if key[0] == what.user and key[1] in what.kinds]
        )

    def _rows(self, tasks: list[Any], documents: list[Any]) -> RowsView:
        shown = [
            {"user": u, "kind": k, "key": n, "version": self.seq, "fields": self.documents[u, k, n]}
            for u, k, n in documents
        ]
        documents_of: Any = shown
        return {"tasks": tasks, "documents": documents_of, "seq": self.seq, "whole": True}

    def expected(self, device_id: str) -> dict[tuple[str, str], Any]:
        """What a device must have when it has everything."""
        what = self.devices[device_id]["scope"]
        rows = self._in_scope(what)
        tasks = {("task", row["id"]): row["title"] for row in rows["tasks"]}
        return tasks | {(row["kind"], row["key"]): row["fields"] for row in rows["documents"]}


def _subject(row: dict[str, Any]) -> TaskSubject:
    return TaskSubject(row["owner"], row["holder"], row["project_id"], labels_of(row["labels"]))


@dataclass
class Follower:
    """A device: its rows and its cursor, as docs/devices.md says."""

    world: World
    device_id: str
    cursor: str | None = None
    rows: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    staged: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    resets: int = 0
    pages: int = 0

    def pull(self, limit: int = 3) -> bool:
        """Pull one page; say whether the device has everything now."""
        user = self.world.devices[self.device_id]["user"]
        answer = self.world.desk.pull(PullChanges(self.device_id, self.cursor, limit), user, self.world.now)
        self.pages += 1
        if isinstance(answer, Rejected):
            assert answer.details["reset"] is True, answer
            assert self.cursor is not None
            self.cursor, self.staged = None, {}
            self.resets += 1
            return False
        return self._take(answer)

    def _take(self, answer: ChangesView) -> bool:
        if self.cursor is None:
            self.staged = {}
        for change in answer["changes"]:
            place = change["kind"], change["key"]
            if change["row"] is None:
                self.staged.pop(place, None)
            else:
                row = json.loads(change["row"])
                self.staged[place] = change["version"], row["title"] if place[0] == "task" else row
        self.cursor = answer["cursor"]
        if answer["has_more"]:
            return False
        checked(self.staged, answer)
        self.rows = dict(self.staged)
        return True

    def pull_all(self, limit: int = 3) -> dict[tuple[str, str], Any]:
        """Pull until the device has everything; return what it has."""
        while not self.pull(limit):
            pass
        return {place: row for place, (_, row) in self.rows.items()}


def checked(rows: dict[tuple[str, str], tuple[int, Any]], answer: ChangesView) -> None:
    """Compare rows, each with its version, with the checksum of a last page."""
    total = 0
    for (kind, key), (version, _) in rows.items():
        total = checksum.plus(total, checksum.part(kind, key, version))
    assert answer["checksum"] == checksum.shown(total)
    assert answer["rows"] == len(rows)
