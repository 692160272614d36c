"""The journal in one SQLite file (WAL, synchronous=FULL): ports.Journal, and the methods of its
owner for HEAD and segments.

A start opens it in these steps; the order matters, because a damaged file must not be written to:

    1. lock     one process for each data directory (journal.lock)
    2. upgrade  a file of an older format is verified and rewritten in this one (journal/upgrade.py)
    3. check    over a read-only connection, so that a damaged file and its WAL are left for rescue: the facts
                since the newest snapshot match the tree, and the tree has the hash in HEAD
    4. epoch    one more than any before, durable: writers of earlier epochs can no longer append
    5. HEAD     rewritten

An append is one transaction: the epoch is still ours, rows and completed nodes of the tree go in, commit.
Then HEAD notes size and edge (journal/edge.py): at once, or when an owner that answers first says so
(ADR 107).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from helix_ray.core.events import Fact
from helix_ray.derived import sqlite_says_damaged
from helix_ray.journal import erasing, layout, pages, pruning, sealing, snapshots
from helix_ray.journal.check import check_start, missing
from helix_ray.journal.edge import Growth, TreeEdge
from helix_ray.journal.erasing import asked
from helix_ray.journal.errors import EraseRefused, JournalDamaged, StaleWriter
from helix_ray.journal.head import Claim, HeadFile
from helix_ray.journal.interned import Interned
from helix_ray.journal.layout import connect, has_tables
from helix_ray.journal.leaves import leaves_of
from helix_ray.journal.lock import FileLock
from helix_ray.journal.rows import Encoded, Salts, encode, insert
from helix_ray.journal.tree import StoredTree
from helix_ray.journal.upgrade import upgrade
from helix_ray.ports import Snapshot
from helix_ray.private import JOURNAL_FILE, make_file

FILE_NAME = JOURNAL_FILE


class SqliteJournal:
    """The only writer of a data directory's journal; not for concurrent calls from several threads."""

    def __init__(
        self, data_dir: Path, key: bytes, lock_wait_s: float = 0.0, *, answers_first: bool = False
    ) -> None:
        """Open the journal, creating it if there is none. `key` signs HEAD and snapshots and must not change.

        With `answers_first` the owner calls `note_head` after each append, when it has answered. Waits up to
        `lock_wait_s` seconds for another process to release the lock. Raises JournalLocked, JournalDamaged or
        JournalTooNew, each with instructions.
        """
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = data_dir / FILE_NAME
        self._key = key
        self._lock = FileLock(data_dir / "journal.lock", lock_wait_s)
        self._head_file = HeadFile(data_dir / "HEAD", key, self._path)
        self._con: sqlite3.Connection | None = None
        self._answers_first = answers_first
        # Whether HEAD says less than what is committed.
        self._unclaimed = False
        try:
            claim = self._head_file.read()
            with self._advised():
                upgrade(self._path, key, claim)
                self._edge = self._check_file(claim)
                self._con = self._open()
                self._words, self._salts = Interned(self._con), Salts()
                self._tree = StoredTree(self._con, self._words)
                sealing.tidy(self._con, self._tree.folder)
                sealing.remove_drafts(self._tree.folder)
                self.epoch = self._next_epoch(claim.epoch if claim is not None else 0)
            # Last: a start that fails before must leave the present claim as it is.
            self._head_file.start(self._claim())
        except BaseException:
            self._head_file.abandon()
            if self._con is not None:
                self._con.close()
            self._lock.release()
            raise

    # ------------------------------------------------------------------------------------------ port

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Make facts durable in one commit; return how many bytes each body has. Raises SeqGap,
        StaleWriter, or SQLite's errors; then nothing was appended."""
        if not facts:
            return []
        with self._transaction() as con:
            encoded, growth = self._insert(con, facts)
        self._committed(growth)
        return encoded.body_sizes()

    def _insert(self, con: sqlite3.Connection, facts: Sequence[Fact]) -> tuple[Encoded, Growth]:
        """Insert facts in the open transaction; return their rows, and what they add to the tree."""
        encoded = encode(facts, self._edge.size, self.epoch, self._words, self._salts)
        growth = self._edge.growth(len(facts), partial(leaves_of, encoded))
        insert(con, encoded.rows)
        if growth.nodes:
            con.executemany(layout.INSERT_NODE, growth.nodes)
        return encoded, growth

    def _committed(self, growth: Growth) -> None:
        self._edge.grow(growth)
        self._unclaimed = True
        if not self._answers_first:
            self.note_head()

    def note_head(self) -> None:
        """Have HEAD claim what is committed; it is cheap where it does.

        After the commit: HEAD must not claim a fact that a crash could still undo, or the next start would
        refuse to serve because of a fact that was never acknowledged.
        """
        if self._unclaimed:
            self._head_file.note(self._claim())
            self._unclaimed = False

    def erase(self, fact: Fact) -> None:
        """Make a FactsErased durable and take what those facts said away. Raises
        EraseRefused, SeqGap, StaleWriter.

        journal/erasing.py says what may be erased. Afterwards no file of the journal contains the bodies,
        unless another process is reading: then the WAL is truncated at a later commit.
        """
        seqs = asked(fact, self.snapshot_seq())
        self.commit_erasure(fact, erasing.prepare(self._path, seqs))
        while sealing.shrink_some(self._connection()):
            pass
        self.cut_log()

    def prepare_erasure(self, seqs: Sequence[int]) -> erasing.Prepared:
        """Do what takes long of an erasure, through a connection of its own: this may run on a thread."""
        return erasing.prepare(self._path, seqs)

    def commit_erasure(self, fact: Fact, prepared: erasing.Prepared) -> None:
        """Make a FactsErased durable and take what its facts said away, in one
        commit. Raises as erase does."""
        newest = self.snapshot_seq()
        if not set(asked(fact, newest)) <= set(prepared.seqs):
            raise EraseRefused("the erasure of other facts was prepared")
        with self._transaction() as con:
            _, growth = self._insert(con, [fact])
            erasing.erase_rows(con, prepared)
            # They contain what is erased, and a start from one of them would have to
            # fold facts without bodies.
            con.execute("DELETE FROM snapshots WHERE seq < ?", (newest,))
        self._committed(growth)
        sealing.tidy(self._connection(), self._tree.folder, prepared.seqs)

    def cut_log(self) -> bool:
        """Cut the write-ahead log: what is erased must leave the disk, not only the tables. False while
        somebody reads. This may run on a thread."""
        return erasing.cut_log(self._path)

    def head(self) -> int:
        """Return the seq of the newest fact (0 when empty)."""
        return self._edge.size

    def read_after(self, seq: int, limit: int, bytes_max: int | None = None) -> list[Fact]:
        """Return up to `limit` facts after `seq`, in order, up to the one whose body reaches `bytes_max`."""
        return self._stored().facts(seq, limit, bytes_max)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot, and keep the one before it."""
        self.save_packed_snapshot(snapshot.seq, snapshot.fold_version, pages.pack(snapshot.body))

    def save_packed_snapshot(self, seq: int, fold_version: int, packed: bytes) -> None:
        """Store a snapshot packed by pages.pack, and keep the one before it."""
        with self._transaction() as con:
            snapshots.save(con, self._tree, self._key, seq, fold_version, packed)

    def snapshot_seq(self) -> int:
        """Return up to which fact the newest snapshot goes, 0 without one."""
        return int(self._connection().execute("SELECT coalesce(max(seq), 0) FROM snapshots").fetchone()[0])

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest intact snapshot that matches the facts."""
        return snapshots.load(self._connection(), self._stored(), self._key)

    def close(self) -> None:
        """Sync HEAD, checkpoint the WAL, release the lock; safe to call twice."""
        if self._con is None:
            return
        self.note_head()
        self._head_file.close()
        self._con.close()
        self._con = None
        self._lock.release()

    # ------------------------------------------------------------------------------------------ owner

    def mark_head(self) -> None:
        """Make HEAD durable; call it at least once a second while facts come in."""
        self.note_head()
        self._head_file.sync()

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log: large where a reader holds it up."""
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def verify(self, from_seq: int = 1) -> int:
        """Verify the facts from the given one's tile on against the tree; return their
        number. Raises JournalDamaged."""
        frontier = self._stored().check(from_seq - 1, self.head())
        if frontier.root() != self._edge.root():
            raise JournalDamaged(
                f"facts up to {self.head()} were changed after they were written: the root of their "
                "tree does not match"
            )
        return self.head() - from_seq + 1

    # ------------------------------------------------------------------------------------------ segments

    def sealing_due(self, keep_s: float, keep_bytes: int, now: float) -> int | None:
        """Return the first seq of the next segment to write; None when none is due."""
        return sealing.due(self._connection(), keep_s, keep_bytes, now)

    def seal(self, first: int) -> sealing.Sealed:
        """Write a segment over a separate connection; this may run on another thread."""
        return sealing.write_segment(self._path, first)

    def adopt(self, sealed: sealing.Sealed) -> bool:
        """Adopt a segment, from which its facts are then read; say whether it was adopted.

        It is not adopted where some of its facts were erased while it was written: it is removed,
        and must be written again.
        """
        folder = self._tree.folder
        if not (folder / sealed.file).exists() or sealing.has_erased(self._connection(), folder, sealed):
            (folder / sealed.file).unlink(missing_ok=True)
            return False
        with self._transaction() as con:
            sealing.adopt(con, sealed)
        return True

    def clear_some(self) -> bool:
        """Delete some rows that segments contain, or release some pages to the disk; say
        whether there is more to do."""
        con = self._connection()
        with self._transaction():
            cleared = sealing.clear_some(con)
        return cleared or sealing.shrink_some(con)

    def remembered_authors(self) -> pruning.Remembered:
        """Return which authors are in use by this writer; journal/pruning.py says what for."""
        return pruning.Remembered(self._words.remembered(), pruning.highest(self._connection()), self.head())

    def unnamed_authors(self, remembered: pruning.Remembered) -> list[int]:
        """Find authors that no fact of the file names, over a separate connection; this may run on
        another thread."""
        return pruning.unnamed(self._path, remembered)

    def remove_authors(self, numbers: Sequence[int]) -> None:
        """Remove some of the authors that were found, in one commit."""
        with self._transaction() as con:
            pruning.remove(con, numbers)

    # ------------------------------------------------------------------------------------------ proofs

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree of the first `size` facts (default: all). Raises
        ValueError beyond the head."""
        if size is None or size == self.head():
            return self._edge.root()
        self._must_have(size)
        return self._stored().root(size)

    def leaf(self, seq: int) -> bytes:
        """Return a fact's leaf; raises ValueError where there is no such fact."""
        self._must_have(seq)
        return self._stored().leaf(seq)

    def inclusion_proof(self, seq: int, size: int | None = None) -> list[bytes]:
        """Return the path from a fact to the root of the first `size`
        (journal/proofs.py verifies it). Raises ValueError."""
        size = self.head() if size is None else size
        self._must_have(size)
        return self._stored().inclusion_proof(seq, size)

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `new` facts begins with that of `old`. Raises ValueError."""
        new = self.head() if new is None else new
        self._must_have(new)
        return self._stored().consistency_proof(old, new)

    def _must_have(self, seq: int) -> None:
        if not 0 <= seq <= self.head():
            raise ValueError(f"the journal has facts 1 to {self.head()}, not {seq}")

    # ------------------------------------------------------------------------------------------ inside

    def _connection(self) -> sqlite3.Connection:
        if self._con is None:
            raise ValueError("the journal is closed")
        return self._con

    def _stored(self) -> StoredTree:
        self._connection()
        return self._tree

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        con = self._connection()
        con.execute("BEGIN IMMEDIATE")
        try:
            # Read under the write lock: this fences off a master that was paused since its
            # last commit, however long.
            stored = con.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
            if stored != self.epoch:
                raise StaleWriter(
                    f"a writer of epoch {stored} has started; this writer's epoch is {self.epoch}"
                )
            yield con
            con.execute("COMMIT")
        except BaseException:
            # Kinds and authors that this transaction has added are rolled back with it.
            self._words.forget()
            # SQLite has already rolled back after some errors, such as a full disk.
            if con.in_transaction:
                con.execute("ROLLBACK")
            raise

    def _claim(self) -> Claim:
        return Claim(self._edge.size, self._edge.hash(), self.epoch, time.time())

    @contextlib.contextmanager
    def _advised(self) -> Iterator[None]:
        """Turn errors that mean a damaged file into JournalDamaged, with instructions.

        Errors of an inaccessible file (no permission, no space, busy) are raised unchanged.
        """
        advice = f"Restore a backup of {self._path.parent}"
        try:
            yield
        except JournalDamaged as damage:
            raise JournalDamaged(f"{self._path}: {damage}. {advice}") from damage
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not sqlite_says_damaged(error):
                raise
            raise JournalDamaged(f"{self._path} cannot be read ({error}). {advice}") from error

    def _check_file(self, claim: Claim | None) -> TreeEdge:
        """Check the file without writing anything; return the edge of its tree."""
        if self._path.exists():
            with contextlib.closing(connect(self._path, "ro")) as con:
                if has_tables(con):
                    return check_start(con, claim)
        if claim is not None and claim.seq > 0:
            raise missing(1, claim)
        return TreeEdge()

    def _open(self) -> sqlite3.Connection:
        make_file(self._path)  # SQLite gives the WAL the same mode
        con = connect(self._path, "rwc")
        layout.configure(con)
        return con

    def _next_epoch(self, claimed: int) -> int:
        con = self._connection()
        row = con.execute(
            "UPDATE meta SET value = max(value, ?) + 1 "
            "WHERE name = 'epoch' AND typeof(value) = 'integer' RETURNING value",
            (claimed,),
        ).fetchone()
        if row is None:
            raise JournalDamaged("the epoch of its last writer was changed")
        return int(row[0])
