"""The file of the outbox: its tables, and how it is opened. Losing it loses no event (outbox.py)."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from helix_ray.derived import set_aside, sqlite_says_damaged
from helix_ray.private import make_file

FILE_NAME = "outbox.sqlite"
LAYOUT = 1
# How long to wait for a program that reads the file.
BUSY_WAIT_S = 5.0
# From so many bytes on, a thread writes the write-ahead log into the file, and waits for the disk. Where
# that does not keep up, a transaction does it from so many pages of 4 KiB on.
CHECKPOINT_BYTES = 4 << 20
WAL_PAGES = 16_000

TABLES = ("place", "hooks", "messages", "tries", "again", "ended_counts")
_MAKE = """
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS hooks (
    id TEXT PRIMARY KEY, cursor INTEGER, number INTEGER NOT NULL, held INTEGER NOT NULL,
    failing_since REAL, quiet_until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    hook TEXT NOT NULL, seq INTEGER NOT NULL, event TEXT NOT NULL, number INTEGER, state INTEGER NOT NULL,
    due_at REAL NOT NULL, tries INTEGER NOT NULL, asked INTEGER NOT NULL, ended_at REAL, why TEXT,
    PRIMARY KEY (hook, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due ON messages (hook, due_at, seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS sending ON messages (hook, seq) WHERE state = 1;
CREATE INDEX IF NOT EXISTS ended ON messages (ended_at) WHERE state > 1;
CREATE INDEX IF NOT EXISTS tried ON messages (hook, seq) WHERE state = 0 AND due_at > 0;
CREATE INDEX IF NOT EXISTS delivered ON messages (hook, seq) WHERE state = 2;
CREATE INDEX IF NOT EXISTS failed ON messages (hook, seq) WHERE state = 3;
CREATE INDEX IF NOT EXISTS dropped ON messages (hook, seq) WHERE state = 4;
CREATE TABLE IF NOT EXISTS tries (
    hook TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL, try INTEGER NOT NULL, seconds REAL NOT NULL,
    status INTEGER, failure TEXT, reason TEXT NOT NULL, address TEXT, headers TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (hook, seq, at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS again (
    hook TEXT NOT NULL, asked_at INTEGER NOT NULL, after INTEGER NOT NULL, through INTEGER NOT NULL,
    PRIMARY KEY (hook, asked_at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), ahead_s REAL NOT NULL, seen_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS turns (one INTEGER PRIMARY KEY CHECK (one = 1), stored INTEGER NOT NULL);
"""
# How many messages of a webhook are kept in each state that is an end: there may be millions. Whoever changes
# such states counts them in the same transaction (ended_counts.py): triggers would run for each row.
_COUNT = """
CREATE TABLE ended_counts (
    hook TEXT NOT NULL, state INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (hook, state)
) WITHOUT ROWID;
INSERT INTO ended_counts
    SELECT hook, 2, count(*) FROM messages INDEXED BY delivered WHERE state = 2 GROUP BY hook
    UNION ALL SELECT hook, 3, count(*) FROM messages INDEXED BY failed WHERE state = 3 GROUP BY hook
    UNION ALL SELECT hook, 4, count(*) FROM messages INDEXED BY dropped WHERE state = 4 GROUP BY hook;
"""


def opened(path: Path) -> sqlite3.Connection:
    """Open the file, or make one; one that is damaged or of another layout is set aside."""
    try:
        return _opened(path)
    except sqlite3.Error as error:
        if not sqlite_says_damaged(error):
            raise
        set_aside(path, error)
    return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    make_file(path)
    con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_WAIT_S)
    try:
        con.execute("PRAGMA journal_mode=WAL")
        # A power loss may cost the newest commits: their messages are then made or sent again.
        con.execute("PRAGMA synchronous=NORMAL")
        con.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        (layout,) = con.execute("PRAGMA user_version").fetchone()
        if layout not in (0, LAYOUT):
            raise sqlite3.DatabaseError(f"the layout {layout} is not {LAYOUT}")
        con.executescript(_MAKE)
        if con.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ended_counts'").fetchone() is None:
            con.executescript(f"BEGIN; {_COUNT} COMMIT")
        # Files of earlier versions have them.
        con.executescript("DROP TRIGGER IF EXISTS ends; DROP TRIGGER IF EXISTS begins_again")
        con.execute(f"PRAGMA user_version={LAYOUT}")
        # Another file's turns (send_turns.py) never fit.
        con.execute("INSERT OR IGNORE INTO turns VALUES (1, ?)", (secrets.randbits(53),))
    except BaseException:
        con.close()
        raise
    return con


def checkpoint(path: Path) -> None:
    """Write a large write-ahead log into the file; for a thread, while others go on. Raises sqlite3.Error."""
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size < CHECKPOINT_BYTES:
        return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_WAIT_S)) as con:
        con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


class Transaction:
    """One transaction of a connection in autocommit mode."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con

    def __enter__(self) -> None:
        self._con.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                self._con.execute("COMMIT")
        finally:
            # A COMMIT that failed, on a full disk say, may have left it open.
            if self._con.in_transaction:
                self._con.execute("ROLLBACK")
