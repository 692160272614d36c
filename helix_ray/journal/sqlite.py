"""The journal in one SQLite file (WAL, synchronous=FULL): ports.Journal, plus what its owner does about HEAD.

Opening, in this order, each step before the next one writes anything:

    1. lock     one process a data directory (journal.lock)
    2. check    through a read-only connection, so that a damaged file and its log stay as they are for rescue:
                the rows that HEAD names are there, and the chain holds since the newest snapshot
    3. epoch    one more than any before, durable: whoever wrote under an earlier one can append no more
    4. HEAD     written anew

An append is one transaction: the epoch is still ours, the rows go in, commit, HEAD notes it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from helix_ray.core.events import Fact
from helix_ray.derived import sqlite_says_damaged
from helix_ray.journal import snapshots
from helix_ray.journal.chain import GENESIS, to_fact, to_rows
from helix_ray.journal.check import FORMAT, check_chain, check_claim, connect, has_tables, missing
from helix_ray.journal.errors import JournalDamaged, StaleWriter
from helix_ray.journal.head import Claim, HeadFile
from helix_ray.journal.lock import FileLock
from helix_ray.ports import Snapshot
from helix_ray.private import make_file

FILE_NAME = "journal.sqlite"
PAGE_BYTES = 8192
# The write-ahead log is folded into the file when it has this many pages (8 MiB).
CHECKPOINT_PAGES = 1000

_INSERT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteJournal:
    """The one writer of a data directory's journal; not for concurrent calls from several threads."""

    def __init__(self, data_dir: Path, key: bytes, lock_wait_s: float = 0.0) -> None:
        """Open the journal, making it if there is none. `key` signs HEAD and snapshots and must stay the same.

        Waits up to `lock_wait_s` seconds for another process to let go of it. Raises JournalLocked, JournalDamaged or
        JournalTooNew, each with what to do.
        """
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = data_dir / FILE_NAME
        self._key = key
        self._lock = FileLock(data_dir / "journal.lock", lock_wait_s)
        self._head_file = HeadFile(data_dir / "HEAD", key)
        self._con: sqlite3.Connection | None = None
        try:
            claim = self._head_file.read()
            self._seq, self._hash = self._check(claim)
            self._con = self._open()
            self.epoch = self._next_epoch(claim.epoch if claim is not None else 0)
            self._head_file.start(self._claim())
        except BaseException:
            self._head_file.abandon()
            if self._con is not None:
                self._con.close()
            self._lock.release()
            raise

    # ------------------------------------------------------------------------------------------ port

    def append(self, facts: Sequence[Fact]) -> None:
        """Make facts durable in one commit. Raises SeqGap, StaleWriter, or what SQLite raises; then nothing of it stays."""
        if not facts:
            return
        rows = to_rows(facts, self._seq, self._hash, self.epoch)
        with self._transaction() as con:
            con.executemany(_INSERT, rows)
        self._seq, self._hash = rows[-1][0], rows[-1][9]
        self._head_file.note(self._claim())

    def head(self) -> int:
        """Return the seq of the newest fact (0 when empty)."""
        return self._seq

    def read_after(self, seq: int, limit: int) -> list[Fact]:
        """Return up to `limit` facts after `seq`, in order."""
        rows = self._connection().execute(
            "SELECT seq, at, actor, request_id, kind, version, body FROM facts WHERE seq > ? ORDER BY seq LIMIT ?",
            (seq, limit),
        )
        return [to_fact(*row) for row in rows]

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot and the one before it."""
        self.save_packed_snapshot(snapshot.seq, snapshot.fold_version, snapshots.pack(snapshot.body))

    def save_packed_snapshot(self, seq: int, fold_version: int, packed: bytes) -> None:
        """Keep a snapshot that snapshots.pack made, and the one before it."""
        with self._transaction() as con:
            snapshots.save(con, self._key, seq, fold_version, packed)

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot that is whole and fits the facts."""
        return snapshots.load(self._connection(), self._key)

    def close(self) -> None:
        """Sync HEAD, fold the log into the file, let go of the lock; safe to call twice."""
        if self._con is None:
            return
        self._head_file.close()
        self._con.close()
        self._con = None
        self._lock.release()

    # ------------------------------------------------------------------------------------------ owner

    def mark_head(self) -> None:
        """Make HEAD durable; call it at least once a second while facts come in."""
        self._head_file.sync()

    def verify(self, from_seq: int = 1) -> int:
        """Check the chain from a fact to the newest; return how many were checked. Raises JournalDamaged."""
        before = from_seq - 1
        last, _ = check_chain(self._connection(), before)
        if last != self._seq:
            raise JournalDamaged(f"facts {last + 1} to {self._seq} are missing from the journal")
        return last - before

    # ------------------------------------------------------------------------------------------ inside

    def _connection(self) -> sqlite3.Connection:
        if self._con is None:
            raise ValueError("the journal is closed")
        return self._con

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        con = self._connection()
        con.execute("BEGIN IMMEDIATE")
        try:
            stored = con.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
            if stored != self.epoch:
                raise StaleWriter(f"epoch {stored} has begun; this writer's is {self.epoch}")
            yield con
            con.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (a full disk, for one).
            if con.in_transaction:
                con.execute("ROLLBACK")
            raise

    def _claim(self) -> Claim:
        return Claim(self._seq, self._hash.hex(), self.epoch, time.time())

    def _check(self, claim: Claim | None) -> tuple[int, bytes]:
        """Return the newest fact's seq and hash, or raise JournalDamaged; writes nothing.

        What only says that the file cannot be reached for now (no permission, no room, busy) is raised as it is.
        """
        advice = f"Restore a backup of {self._path.parent}"
        try:
            seq, last_hash = self._check_file(claim)
        except JournalDamaged as damage:
            raise JournalDamaged(f"{self._path}: {damage}. {advice}") from damage
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not sqlite_says_damaged(error):
                raise
            raise JournalDamaged(f"{self._path} cannot be read ({error}). {advice}") from error
        return seq, last_hash

    def _check_file(self, claim: Claim | None) -> tuple[int, bytes]:
        if self._path.exists():
            with contextlib.closing(connect(self._path, "ro")) as con:
                if has_tables(con):
                    check_claim(con, claim)
                    return check_chain(con, snapshots.newest_fitting(con))
        if claim is not None and claim.seq > 0:
            raise missing(1, claim)
        return 0, GENESIS

    def _open(self) -> sqlite3.Connection:
        make_file(self._path)  # SQLite gives the log beside it the same mode
        con = connect(self._path, "rwc")
        con.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        con.execute("BEGIN IMMEDIATE")
        for statement in _statements():
            con.execute(statement)
        con.execute(f"PRAGMA user_version = {FORMAT}")
        con.execute("COMMIT")
        return con

    def _next_epoch(self, claimed: int) -> int:
        con = self._connection()
        row = con.execute(
            "UPDATE meta SET value = max(value, ?) + 1 WHERE name = 'epoch' RETURNING value", (claimed,)
        ).fetchone()
        return int(row[0])


def _statements() -> list[str]:
    text = files("helix_ray.journal").joinpath("schema.sql").read_text("utf-8")
    lines = [line.partition("--")[0] for line in text.splitlines()]
    return [part for part in "\n".join(lines).split(";") if part.strip()]
