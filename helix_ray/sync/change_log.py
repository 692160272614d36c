"""The lists of changes, in one SQLite file: for each scope the newest version of all that was ever in it.

    rows      the things themselves, each once, as JSON
    entries   one for each scope and thing: the position of its last change, and whether it is in the scope
              now; one that is not is a tombstone
    scopes    what is followed, the sum and the number of its rows, and its floor

Positions only grow, over all scopes. A change moves its entry to the end, so a list is always compact: what
comes after a position is everything that a device at that position lacks, each thing once. A first pull is
the same list without the tombstones that are older than the pull. Tombstones are removed by age; the floor of
a scope is the newest that was removed, and a device that is behind it must start again.

The file is made from the journal and holds nothing that cannot be made again, so it is not made durable
beyond a crash of the process. `generation` tells a file from its predecessors.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helix_ray.core.follows import Scope, scope_from
from helix_ray.private import make_file
from helix_ray.sync import checksum
from helix_ray.sync.cursors import scope_hash

LAYOUT = "1"
MEMORY = ":memory:"
# The page cache; the rest of the file is in the cache of the kernel.
CACHE_KIB = 8 << 10

_MAKE = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scopes (
    id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL, last INTEGER NOT NULL,
    rows INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rows (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    name TEXT NOT NULL, scope INTEGER NOT NULL, position INTEGER NOT NULL, live INTEGER NOT NULL,
    version INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (name, scope)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS by_position ON entries (scope, position);
CREATE TABLE IF NOT EXISTS devices (
    id TEXT PRIMARY KEY, last_sync REAL NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mutated (id TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
"""
_PUT = (
    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name, scope) DO UPDATE SET "
    "position = excluded.position, live = excluded.live, version = excluded.version, at = excluded.at"
)
_ROW = "INSERT INTO rows VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body"
_LEAVE = (
    "DELETE FROM rows WHERE name IN (SELECT name FROM entries WHERE scope = ? AND live) AND NOT EXISTS "
    "(SELECT 1 FROM entries e WHERE e.name = rows.name AND e.live AND e.scope <> ?)"
)
_PAGE = (
    "SELECT e.position, e.name, e.live, e.version, r.body FROM entries e LEFT JOIN rows r "
    "ON r.name = e.name AND e.live WHERE e.scope = ? AND e.position > ? AND (e.live OR e.position > ?) "
    "ORDER BY e.position LIMIT ?"
)


class Thing(NamedTuple):
    """What has changed: a task, or a document of a user. `body` is its row as JSON."""

    kind: str
    key: str
    version: int
    body: bytes
    # Whose it is, where keys are those of one user.
    user: str = ""

    @property
    def name(self) -> str:
        """Return what tells it from all others."""
        return name_of(self.kind, self.key, self.user)


class ListedChange(NamedTuple):
    """An entry of a page; without a body the thing is not in the scope any more."""

    position: int
    kind: str
    key: str
    version: int
    body: bytes | None


class Seen(NamedTuple):
    """When a device last had everything, epoch seconds, and the position up to which it had it."""

    last_sync: float
    position: int


class Followed:
    """A scope of the file: `floor` is below what can be asked for, `last` the position of its last entry."""

    __slots__ = ("floor", "hash", "id", "last", "rows", "scope", "sum", "text")

    def __init__(self, id_: int, text: str, floor: int, last: int, rows: int, total: int) -> None:
        self.id = id_
        self.text = text
        self.scope: Scope = scope_from(text)
        self.hash = scope_hash(text)
        self.floor = floor
        self.last = last
        self.rows = rows
        self.sum = total


class ChangeLog:
    """The file; for one thread at a time. Changes are made between `begin` and `commit`."""

    def __init__(self, path: Path | str) -> None:
        """Open the file, or make it. Raises sqlite3.Error and OSError."""
        if path != MEMORY:
            make_file(Path(path))
        self._con = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._con.close()
            raise

    def _open(self) -> None:
        con = self._con
        con.execute("PRAGMA journal_mode=WAL")
        con.execute("PRAGMA synchronous=OFF")
        # What was erased is not to be read in the file.
        con.execute("PRAGMA secure_delete=ON")
        con.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        con.executescript(_MAKE)
        meta = dict(con.execute("SELECT name, value FROM meta"))
        if meta.setdefault("layout", LAYOUT) != LAYOUT:
            raise sqlite3.DatabaseError(f"layout {meta['layout']} is not {LAYOUT}")
        self.generation = str(meta.get("generation", secrets.token_hex(4)))
        self.cursor = int(meta.get("cursor", 0))
        self.position = int(meta.get("position", 0))
        self.followed: dict[str, Followed] = {}
        for row in con.execute("SELECT id, text, floor, last, rows, sum FROM scopes"):
            self.followed[row[1]] = Followed(*row)
        self._by_id = {each.id: each for each in self.followed.values()}
        self._moved: set[int] = set()
        self._changed: set[int] = set()
        self._keep_meta()

    def _keep_meta(self) -> None:
        values = {
            "layout": LAYOUT, "generation": self.generation, "cursor": self.cursor, "position": self.position
        }  # fmt: skip
        self._con.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes within durable at once, or none of them; an error needs the file to be opened
        again, since memory is ahead of it."""
        self._con.execute("BEGIN IMMEDIATE")
        try:
            yield
            for id_ in self._moved & self._by_id.keys():
                each = self._by_id[id_]
                self._con.execute(
                    "UPDATE scopes SET floor = ?, last = ?, rows = ?, sum = ? WHERE id = ?",
                    (each.floor, each.last, each.rows, each.sum, id_),
                )
            self._changed |= self._moved
            self._moved.clear()
            self._keep_meta()
        except BaseException:
            self._con.execute("ROLLBACK")
            raise
        self._con.execute("COMMIT")

    # ------------------------------------------------------------------------------------------ changes

    def follow(self, scope: Scope) -> Followed:
        """Add a scope without rows; what was in it before cannot be asked for."""
        text = scope.text()
        found = self._con.execute(
            "INSERT INTO scopes (text, floor, last, rows, sum) VALUES (?, ?, ?, 0, 0)",
            (text, self.position, self.position),
        )
        each = Followed(int(found.lastrowid or 0), text, self.position, self.position, 0, 0)
        self.followed[text] = self._by_id[each.id] = each
        return each

    def unfollow(self, each: Followed) -> None:
        """Remove a scope, and the rows that are in no other."""
        del self.followed[each.text], self._by_id[each.id]
        self._con.execute(_LEAVE, (each.id, each.id))
        self._con.execute("DELETE FROM entries WHERE scope = ?", (each.id,))
        self._con.execute("DELETE FROM scopes WHERE id = ?", (each.id,))

    def put(self, thing: Thing, into: Collection[Followed], now: float) -> None:
        """Note that a thing has changed: it is in these scopes now, and in no others."""
        name, kind, key = thing.name, thing.kind, thing.key
        before = self._entries(name)
        wanted = {each.id for each in into}
        if wanted:
            self._con.execute(_ROW, (name, thing.body))
        for id_, version in before.items() - {(id_, thing.version) for id_ in wanted}:
            self._subtract(id_, kind, key, version)
            if id_ not in wanted:
                self._write(name, id_, False, thing.version, now)
        for id_ in sorted(wanted):
            each = self._by_id[id_]
            if before.get(id_) != thing.version:
                each.sum = checksum.plus(each.sum, checksum.part(kind, key, thing.version))
                each.rows += 1
            self._write(name, id_, True, thing.version, now)
        if before and not wanted:
            self._con.execute("DELETE FROM rows WHERE name = ?", (name,))

    def add(self, each: Followed, thing: Thing, now: float) -> None:
        """Note that a thing is in a scope, beside those that have it."""
        if each.id not in self._entries(thing.name):
            each.sum = checksum.plus(each.sum, checksum.part(thing.kind, thing.key, thing.version))
            each.rows += 1
            self._con.execute(_ROW, (thing.name, thing.body))
            self._write(thing.name, each.id, True, thing.version, now)

    def remove(self, kind: str, key: str, version: int, now: float, user: str = "") -> None:
        """Note that a thing is gone."""
        self.put(Thing(kind, key, version, b"", user), (), now)

    def _entries(self, name: str) -> dict[int, int]:
        """Return the scopes that have a thing, each with the version in it."""
        found = self._con.execute("SELECT scope, version FROM entries WHERE name = ? AND live", (name,))
        return {id_: version for id_, version in found if id_ in self._by_id}

    def _subtract(self, id_: int, kind: str, key: str, version: int) -> None:
        each = self._by_id[id_]
        each.sum = checksum.plus(each.sum, -checksum.part(kind, key, version))
        each.rows -= 1

    def _write(self, name: str, id_: int, live: bool, version: int, now: float) -> None:
        self.position += 1
        self._by_id[id_].last = self.position
        self._moved.add(id_)
        self._con.execute(_PUT, (name, id_, self.position, live, version, now))

    def compact(self, before: float) -> int:
        """Remove tombstones from before an epoch second, and return how many."""
        found = self._con.execute(
            "SELECT scope, max(position) FROM entries WHERE NOT live AND at < ? GROUP BY scope", (before,)
        ).fetchall()
        for id_, newest in found:
            each = self._by_id[id_]
            each.floor = max(each.floor, newest)
            self._moved.add(id_)
        gone = self._con.execute("DELETE FROM entries WHERE NOT live AND at < ?", (before,))
        return gone.rowcount

    def forget_erased(self) -> None:
        """Overwrite what was erased also in the file's log."""
        self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def changed(self) -> set[int]:
        """Return the ids of the lists that have changed since the last call."""
        ids, self._changed = self._changed, set()
        return ids

    def lists(self, ids: Iterable[int]) -> list[Followed]:
        """Return the lists with these ids, as far as they are there."""
        return [self._by_id[id_] for id_ in ids if id_ in self._by_id]

    # ---------------------------------------------------------------------------------------- questions

    def known(self, names: Iterable[str]) -> set[str]:
        """Return those names whose things are in a scope."""
        wanted = json.dumps(list(names))
        found = self._con.execute(
            "SELECT name FROM rows WHERE name IN (SELECT value FROM json_each(?))", (wanted,)
        )
        return {name for (name,) in found}

    def page(self, each: Followed, after: int, first: int, limit: int) -> list[ListedChange]:
        """Return up to `limit` changes of a scope after a position, in order; without tombstones up to
        `first`."""
        found = self._con.execute(_PAGE, (each.id, after, first, limit))
        return [
            ListedChange(position, *split_name(name), version, bytes(body) if live else None)
            for position, name, live, version, body in found
        ]

    def seen(self) -> dict[str, Seen]:
        """Return when devices last had everything."""
        found = self._con.execute("SELECT id, last_sync, position FROM devices")
        return {id_: Seen(*rest) for id_, *rest in found}

    def note_seen(self, seen: Iterable[tuple[str, Seen]], gone: Iterable[str]) -> None:
        """Keep when devices last had everything, and forget those that are gone."""
        rows = ((id_, *each) for id_, each in seen)
        self._con.executemany("INSERT OR REPLACE INTO devices VALUES (?, ?, ?)", rows)
        self._con.executemany("DELETE FROM devices WHERE id = ?", ((id_,) for id_ in gone))

    def mutated(self) -> dict[str, int]:
        """Return the last mutation of each device that is in the lists."""
        return dict(self._con.execute("SELECT id, last FROM mutated"))

    def note_mutated(self, device_id: str, last: int) -> None:
        """Keep the last mutation of a device that is in the lists."""
        self._con.execute("INSERT OR REPLACE INTO mutated VALUES (?, ?)", (device_id, last))

    def forget_device(self, device_id: str) -> None:
        """Forget the last mutation of a device."""
        self._con.execute("DELETE FROM mutated WHERE id = ?", (device_id,))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._con.close()


def name_of(kind: str, key: str, user: str = "") -> str:
    """Return what tells a thing from all others."""
    return f"{kind}\t{user}\t{key}"


def split_name(name: str) -> tuple[str, str]:
    """Return the kind and the key of a name."""
    kind, _, key = name.split("\t", 2)
    return kind, key
