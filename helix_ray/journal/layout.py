"""The layout of a journal's file (pages, WAL, tables), and connections to it."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path

from helix_ray.journal.errors import JournalTooNew

FORMAT = 3
# The first format that has a tree. Its table of nodes was in another order (ADR 108).
TREE_FORMAT = 2
_FORMER_NODES = "SELECT (place + 1) << level AS last, level, hash FROM nodes"
PAGE_BYTES = 8192
# The WAL is checkpointed when it has this many pages (8 MiB).
CHECKPOINT_PAGES = 1000
# A WAL that grew beyond this (because of a reader) is truncated to it at the next checkpoint.
LOG_KEPT_BYTES_MAX = 64 << 20

INSERT_FACT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
# For rows that omit all that they may: binding a None costs Python's sqlite3 as much as three values.
INSERT_SHORT_FACT = "INSERT INTO facts (seq, kind, subject, content) VALUES (?, ?, ?, ?)"
# Of (level, place, hash).
INSERT_NODE = "INSERT INTO tree VALUES ((?2 + 1) << ?1, ?1, ?3)"
# How long another connection (a backup, a user's sqlite3) may delay a commit.
BUSY_WAIT_S = 5.0


def configure(con: sqlite3.Connection) -> None:
    """Configure a writing connection, and create the tables in an empty file."""
    con.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    # Only effective before there are tables. Pages of deleted rows are released step by step.
    con.execute("PRAGMA auto_vacuum = INCREMENTAL")
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    con.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES_MAX}")
    # Erased bytes are overwritten, not only unlinked.
    con.execute("PRAGMA secure_delete = ON")
    con.execute("BEGIN IMMEDIATE")
    for statement in _statements():
        con.execute(statement)
    _order_nodes(con)
    con.execute(f"PRAGMA user_version = {FORMAT}")
    con.execute("COMMIT")


def _order_nodes(con: sqlite3.Connection) -> None:
    """Give the nodes of a file of format 2 their order, in the open transaction."""
    if format_of(con) == TREE_FORMAT:
        con.execute(f"INSERT INTO tree {_FORMER_NODES} ORDER BY 1, 2")
        con.execute("DROP TABLE nodes")


def node_query(con: sqlite3.Connection) -> str:
    """Return the query of a node's hash, with its level and place as parameters."""
    if format_of(con) == TREE_FORMAT:
        return "SELECT hash FROM nodes WHERE level = ? AND place = ?"
    return "SELECT hash FROM tree WHERE level = ?1 AND last = (?2 + 1) << ?1"


def nodes_through(con: sqlite3.Connection, seq: int) -> sqlite3.Cursor:
    """Return the rows of `tree` over facts up to `seq`."""
    if format_of(con) == TREE_FORMAT:
        return con.execute(f"{_FORMER_NODES} WHERE last <= ? ORDER BY 1, 2", (seq,))
    return con.execute("SELECT * FROM tree WHERE last <= ?", (seq,))


def _statements() -> list[str]:
    text = files("helix_ray.journal").joinpath("schema.sql").read_text("utf-8")
    lines = [line.partition("--")[0] for line in text.splitlines()]
    return [part for part in "\n".join(lines).split(";") if part.strip()]


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a journal's file (`ro`, `rw`, `rwc`). Raises JournalTooNew."""
    try:
        con, version = _connected(path, f"mode={mode}")
    except sqlite3.OperationalError:
        # To read a file with a WAL, SQLite creates an index file. Where it cannot and there is
        # no WAL, none is needed.
        if mode != "ro" or path.with_name(f"{path.name}-wal").exists():
            raise
        con, version = _connected(path, "mode=ro&immutable=1")
    if version > FORMAT:
        con.close()
        raise JournalTooNew(f"{path} has format {version}; this release supports formats up to {FORMAT}")
    return con


def _connected(path: Path, options: str) -> tuple[sqlite3.Connection, int]:
    # An actor opens it on one thread and uses it on another, never at the same time.
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, timeout=BUSY_WAIT_S,
        check_same_thread=False
    )  # fmt: skip
    try:
        # The version is in the file's header; reading it from a table would need the WAL as well.
        con.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return con, int(con.execute("PRAGMA user_version").fetchone()[0])
    except BaseException:
        con.close()
        raise


def has_tables(con: sqlite3.Connection) -> bool:
    """Say whether the file contains a journal."""
    names = con.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('facts', 'snapshots', 'meta')")
    return bool(names.fetchone()[0] == 3)


def format_of(con: sqlite3.Connection) -> int:
    """Return the format of a journal's file; 0 for an empty file."""
    return int(con.execute("PRAGMA user_version").fetchone()[0])
