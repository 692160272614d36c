"""Keeps the lists of changes up to date, and answers devices from them.

For each batch of facts `taking` goes through these steps; it yields questions to the control plane, and is
sent the answers:

    1. board   the devices that may follow, or see, something else are read again
    2. fill    a scope that no device had is filled with what is in it
    3. rows    what has changed is read, and put into the scopes that it is in now, in one transaction with
               the cursor

Rows are read after the facts, so they may be newer: the facts that changed them come later, and change
nothing. Nothing here waits, calls or looks at a clock: whoever drives it does (actors/sync_devices.py).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from helix_ray.core.errors import ErrorCode, Rejected, conflict, not_found
from helix_ray.core.follows import Scope, TaskSubject
from helix_ray.core.questions import DeviceBoard, FollowedRows, PullChanges, QuestionKind, ScopeRows
from helix_ray.core.views.sync import (
    BoardDevice,
    BoardView,
    ChangesView,
    RowsView,
    SyncedDevice,
    SyncStatusView,
)
from helix_ray.sync.affected import Affected, Document
from helix_ray.sync.change_log import ChangeLog, Followed, name_of
from helix_ray.sync.enrolled import EnrolledDevices
from helix_ray.sync.presence import Presence
from helix_ray.sync.pulling import ChangePages
from helix_ray.sync.routes import Routes
from helix_ray.sync.rows import TASK, document_thing, subject_of, task_thing

STARTING = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "What this device follows is being read. Try again", {"retry_after_s": 1}
)
EVERYTHING = DeviceBoard()
ROWS_MAX = 50_000
# How long until a scope with too many rows is read again: it may have fewer since.
TOO_LARGE_AGAIN_S = 60.0


class SyncDesk:
    """The devices of one shard. For one thread at a time."""

    def __init__(
        self,
        log: ChangeLog,
        key: bytes,
        interval_s: float,
        board: EnrolledDevices | None = None,
        rows_max: int = ROWS_MAX,
    ) -> None:
        """`key` authenticates cursors; `interval_s` is how often devices should ask at least; `rows_max` is
        how many things a device may follow."""
        self._rows_max = rows_max
        # The texts of scopes that have more, and when each is read again: they have no list.
        self._too_large: dict[str, float] = {}
        self.log = log
        self.board = board or EnrolledDevices()
        self.presence = Presence(log.seen(), interval_s)
        self._pages = ChangePages(log, key)
        self._mutated = log.mutated()
        self._routes = Routes()
        for each in log.followed.values():
            self._routes.add(each)

    # ---------------------------------------------------------------------------------- keeping up to date

    @property
    def cursor(self) -> int:
        """The seq after which facts are wanted."""
        return self.log.cursor

    def taking(
        self, affected: Affected, cursor: int, now: float
    ) -> Generator[QuestionKind[Any], Any, set[int]]:
        """Take what facts up to a cursor have changed; return the ids of the lists that have changed, or that
        a device does not follow any more. Anything that is raised in between leaves the cursor where it was,
        and the same facts can be taken again."""
        left: set[int] = set()
        if (board := self._board_wanted(affected, now)) is not None:
            view: BoardView = yield board
            left = self._take_board(board, view)
            if not self.log.followed:
                # Whatever is followed from here on is read after this.
                cursor = max(cursor, view["seq"])
            for scope in self._unfilled(view, now):
                self._fill(scope, (yield ScopeRows(scope, self._rows_max)), now)
            self.board.known = True
        asked = self._rows_wanted(affected)
        self._take(affected, asked, None if asked is None else (yield asked), cursor, now)
        changed = self.log.changed()
        self._drop_too_large(changed, now)
        return left | changed

    def is_due(self, now: float) -> bool:
        """Say whether there is something to read, also where no fact has come."""
        return not self.board.known or any(at <= now for at in self._too_large.values())

    def _board_wanted(self, affected: Affected, now: float) -> DeviceBoard | None:
        if not self.board.known:
            return EVERYTHING
        due = (self.board.having(text) for text, at in self._too_large.items() if at <= now)
        devices = affected.devices.union(*due)
        if not devices and not affected.users:
            return None
        return DeviceBoard(tuple(sorted(devices)), tuple(sorted(affected.users)))

    def _take_board(self, question: DeviceBoard, view: BoardView) -> set[int]:
        """Take devices as they are; what nobody follows any more is forgotten. Return the lists that devices
        have left."""
        first, board = not self.board.known, self.board
        had = board.take(question, view)
        left = {self.log.followed[text].id for text in had.values() if text in self.log.followed}
        # Of a file that is opened again nobody knows what was followed.
        once = list(self.log.followed) if first else set(had.values())
        with self.log.transaction():
            self._too_large = {text: at for text, at in self._too_large.items() if board.has(text)}
            for text in once:
                if not board.has(text) and (each := self.log.followed.get(text)) is not None:
                    self._routes.drop(each)
                    self.log.unfollow(each)
            for device in view["devices"]:
                if device["id"] in board.devices and device["id"] not in self._mutated:
                    self._set_mutated(device["id"], device["last_mutation"])
            for device_id in had:
                if device_id not in board.devices:
                    self.presence.forget(device_id)
                    self.log.forget_device(device_id)
                    self._mutated.pop(device_id, None)
        return left

    def _unfilled(self, view: BoardView, now: float) -> list[Scope]:
        """Return the scopes of devices that were read of which nothing is known yet."""
        texts = {self.board.text_of(device["id"]) for device in view["devices"]} - self.log.followed.keys()
        texts -= {text for text, at in self._too_large.items() if at > now}
        return [self.board.scope(text) for text in sorted(text for text in texts if text is not None)]

    def _drop_too_large(self, changed: set[int], now: float) -> None:
        """Forget lists that have grown beyond the limit, until they are read again."""
        grown = [each for each in self.log.lists(changed) if each.rows > self._rows_max]
        if grown:
            with self.log.transaction():
                for each in grown:
                    self._too_large[each.text] = now + TOO_LARGE_AGAIN_S
                    self._routes.drop(each)
                    self.log.unfollow(each)

    def _fill(self, scope: Scope, rows: RowsView, now: float) -> None:
        if not rows["whole"]:
            self._too_large[scope.text()] = now + TOO_LARGE_AGAIN_S
            return
        self._too_large.pop(scope.text(), None)
        with self.log.transaction():
            each = self.log.follow(scope)
            for row in rows["tasks"]:
                self.log.add(each, task_thing(row, rows["seq"]), now)
            for document in rows["documents"]:
                self.log.add(each, document_thing(document), now)
        self._routes.add(each)

    def _rows_wanted(self, affected: Affected) -> FollowedRows | None:
        """Return what is to be read; None: nothing of it is in a scope, or may be."""
        if not self.log.followed:
            return None
        tasks = {id_ for id_, subject in affected.entering.items() if self._may_enter(subject)}
        tasks |= self._known_tasks(affected)
        documents = [key for key in affected.documents if self._routes.of_document(key[0], key[1])]
        if not tasks and not documents:
            return None
        return FollowedRows(tuple(sorted(tasks)), tuple(sorted(documents)))

    def _may_enter(self, subject: TaskSubject | None) -> bool:
        return subject is None or bool(self._routes.of_task(subject))

    def _known_tasks(self, affected: Affected) -> set[str]:
        names = {name_of(TASK, task_id): task_id for task_id in affected.tasks}
        return {names[name] for name in self.log.known(names)}

    def _take(
        self, affected: Affected, asked: FollowedRows | None, rows: RowsView | None, cursor: int, now: float
    ) -> None:
        with self.log.transaction():
            if asked is not None and rows is not None:
                self._take_tasks(affected.tasks, asked, rows, now)
                self._take_documents(affected.documents, asked, rows, now)
            for device_id, last in affected.mutated.items():
                if device_id in self.board.devices:
                    self._set_mutated(device_id, last)
            self.log.cursor = cursor
        if affected.erased:
            self.log.forget_erased()

    def _take_tasks(
        self, versions: Mapping[str, int], asked: FollowedRows, rows: RowsView, now: float
    ) -> None:
        found = {row["id"]: row for row in rows["tasks"]}
        for task_id in sorted(asked.task_ids, key=versions.__getitem__):
            row, version = found.get(task_id), versions[task_id]
            if row is None:
                self.log.remove(TASK, task_id, version, now)
            else:
                self.log.put(task_thing(row, version), self._routes.of_task(subject_of(row)), now)

    def _take_documents(
        self, versions: Mapping[Document, int], asked: FollowedRows, rows: RowsView, now: float
    ) -> None:
        found = {(row["user"], row["kind"], row["key"]): row for row in rows["documents"]}
        for key in sorted(asked.documents, key=versions.__getitem__):
            user, kind, name = key
            row = found.get(key)
            if row is None:
                self.log.remove(kind, name, versions[key], now, user)
            else:
                self.log.put(document_thing(row), self._routes.of_document(user, kind), now)

    def _set_mutated(self, device_id: str, last: int) -> None:
        self._mutated[device_id] = last
        self.log.note_mutated(device_id, last)

    def tidy(self, now: float, tombstones_keep_s: float) -> int:
        """Write when devices synced to the file, and remove old tombstones; return how many."""
        with self.log.transaction():
            self.log.note_seen(*self.presence.unsaved())
            return self.log.compact(now - tombstones_keep_s)

    # ------------------------------------------------------------------------------------------ answering

    def device(self, device_id: str, user: str) -> BoardDevice | Rejected:
        """Return a device of a user."""
        device = self.board.devices.get(device_id)
        if device is None:
            return not_found("Device", device_id) if self.board.known else STARTING
        return device if device["user"] == user else not_found("Device", device_id)

    def pull(self, question: PullChanges, user: str, now: float) -> ChangesView | Rejected:
        """Return the next page of changes for a device of a user."""
        device = self.device(question.device_id, user)
        if isinstance(device, Rejected):
            return device
        each = self.list_of(device["id"])
        if each is None:
            return self._without_list(device["id"])
        self.presence.asked(device["id"], now)
        cursor = self._pages.cursor_of(question.cursor, each)
        if isinstance(cursor, Rejected):
            return cursor
        page = self._pages.page(each, cursor, question.limit)
        if not page.has_more:
            self.presence.caught_up(device["id"], now, page.position)
        return page.view(self._mutated.get(device["id"], 0), now)

    def list_of(self, device_id: str) -> Followed | None:
        """Return the list of a device; None where it is unknown, or being read."""
        return self.log.followed.get(self.board.text_of(device_id) or "")

    def _without_list(self, device_id: str) -> Rejected:
        if self.board.text_of(device_id) not in self._too_large:
            return STARTING
        return conflict(
            f"This device follows more than {self._rows_max} things: let it follow less", limit=self._rows_max
        )

    def has_news(self, question: PullChanges, user: str) -> bool:
        """Say whether a pull would be answered with something, or refused."""
        device = self.device(question.device_id, user)
        each = None if isinstance(device, Rejected) else self.list_of(device["id"])
        if each is None or question.cursor is None:
            return True
        cursor = self._pages.cursor_of(question.cursor, each)
        return isinstance(cursor, Rejected) or each.last > cursor.position

    def status(self, user: str | None, now: float) -> SyncStatusView:
        """Return how the devices of a user are doing; None: those of all users."""
        devices = self.board.devices.values() if user is None else self.board.of(user)
        return {"devices": [self._synced(device, now) for device in devices]}

    def _synced(self, device: BoardDevice, now: float) -> SyncedDevice:
        each = self.list_of(device["id"])
        last = self.log.position if each is None else each.last
        return {
            "device_id": device["id"],
            "device_type": device["type"],
            "name": device["name"],
            "last_sync": self.presence.last_sync(device["id"]),
            "status": self.presence.status(device["id"], last, now),
            "refused": device["refused"],
        }
