"""Whether a journal's file holds what was acknowledged: read-only, for its owner's start and for copies of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from helix_ray.journal import former, snapshots
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.head import Claim
from helix_ray.journal.layout import FORMAT
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.tree import StoredTree

# How long another connection (a backup, a person with sqlite3) may keep a commit waiting.
BUSY_WAIT_S = 5.0
ROWS_PER_STEP = 10_000


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a journal's file (`ro`, `rw`, `rwc`). Raises JournalTooNew."""
    try:
        con, version = _connected(path, f"mode={mode}")
    except sqlite3.OperationalError:
        # To read a file with a log, SQLite makes an index beside it. Where it cannot and there is no log, none is needed.
        if mode != "ro" or path.with_name(f"{path.name}-wal").exists():
            raise
        con, version = _connected(path, "mode=ro&immutable=1")
    if version > FORMAT:
        con.close()
        raise JournalTooNew(f"{path} has format {version}; this release knows up to {FORMAT}")
    return con


def _connected(path: Path, options: str) -> tuple[sqlite3.Connection, int]:
    # An actor opens on one thread and works on another, one after the other.
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, timeout=BUSY_WAIT_S, check_same_thread=False
    )  # fmt: skip
    try:
        # The version stands in the file's header; a table's row needs the log as well.
        con.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return con, int(con.execute("PRAGMA user_version").fetchone()[0])
    except BaseException:
        con.close()
        raise


def has_tables(con: sqlite3.Connection) -> bool:
    """Say whether the file holds a journal at all."""
    names = con.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('facts', 'snapshots', 'meta')")
    return bool(names.fetchone()[0] == 3)


def format_of(con: sqlite3.Connection) -> int:
    """Return the format of a journal's file; 0 for one that has none yet."""
    return int(con.execute("PRAGMA user_version").fetchone()[0])


def missing(first: int, claim: Claim) -> JournalDamaged:
    """Return the error for rows that HEAD vouches for and that are not there."""
    return JournalDamaged(
        f"facts {first} to {claim.seq} were acknowledged and are missing (to go on without them, remove HEAD)"
    )


def check_start(con: sqlite3.Connection, claim: Claim | None) -> Frontier:
    """Check the facts since the newest snapshot, and the root that HEAD names; return the tree's frontier."""
    tree = StoredTree(con)
    newest = tree.newest()
    if claim is not None and newest < claim.seq:
        raise missing(newest + 1, claim)
    frontier = tree.check(snapshots.newest_fitting(con, tree), newest)
    _check_root(con, tree, claim, frontier)
    return frontier


def check_all(
    con: sqlite3.Connection, claim: Claim | None, on_facts: Callable[[int], None] = lambda seq: None
) -> tuple[int, str]:
    """Check every fact of a file of any format; return the newest one's seq and what HEAD says of it (hex)."""
    if format_of(con) == former.FORMAT:
        return check_format1(con, claim, on_facts)
    tree = StoredTree(con)
    newest = tree.newest()
    if claim is not None and newest < claim.seq:
        raise missing(newest + 1, claim)
    frontier = tree.check(0, newest, on_facts)
    _check_root(con, tree, claim, frontier)
    return newest, frontier.root().hex()


def check_format1(
    con: sqlite3.Connection, claim: Claim | None, on_facts: Callable[[int], None] = lambda seq: None
) -> tuple[int, str]:
    """Check every fact of a file of format 1; return the newest one's seq and hash (hex)."""
    newest = con.execute("SELECT coalesce(max(seq), 0) FROM facts").fetchone()[0]
    if claim is not None:
        if newest < claim.seq:
            raise missing(newest + 1, claim)
        found = former.hash_at(con, claim.seq)
        if found is None or found.hex() != claim.hash:
            raise JournalDamaged(f"fact {claim.seq} is not the one that was acknowledged")
    seq, last_hash = 0, former.GENESIS
    for row in former.checked(former.rows_of(con)):
        seq, last_hash = row[0], row[9]
        if seq % ROWS_PER_STEP == 0:
            on_facts(seq)
    return seq, last_hash.hex()


def _check_root(con: sqlite3.Connection, tree: StoredTree, claim: Claim | None, frontier: Frontier) -> None:
    """Raise JournalDamaged unless the facts up to the one that HEAD names have the root that it names."""
    if claim is None:
        return
    root = frontier.root() if claim.seq == frontier.size else tree.root(claim.seq)
    if root.hex() == claim.hash:
        return
    # A kill between an upgrade and the next HEAD: this one still names the last hash of format 1.
    upgraded = con.execute("SELECT value FROM meta WHERE name = 'format1'").fetchone()
    if upgraded is None or upgraded[0] != f"{claim.seq} {claim.hash}":
        raise JournalDamaged(
            f"facts up to {claim.seq} are not those that were acknowledged: HEAD names another root of their tree"
        )
