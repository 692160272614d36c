"""The file with the counts of rate limits. While it cannot be written, counting continues
in memory without delay.

Counts that could not be saved are saved as soon as that works again; each change is logged once. A damaged
file is set aside and made again: losing counts is better than refusing requests.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from helix_ray.core.limits import UsageRow
from helix_ray.derived import set_aside, sqlite_says_damaged
from helix_ray.private import make_file

log = logging.getLogger(__name__)

# The pause between two tries to write the file.
AGAIN_S = 1.0
# How long to wait for another program that uses the file; requests wait as well.
BUSY_WAIT_S = 0.05

_MAKE = (
    "CREATE TABLE IF NOT EXISTS uses (key TEXT, stamp REAL, units INTEGER, PRIMARY KEY (key, "
    "stamp)) WITHOUT ROWID"
)
_KEEP = "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (key, stamp) DO UPDATE SET units = excluded.units"


class UseStore:
    """The rows of the file, and those that are not saved yet. For one thread at a time."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._con: sqlite3.Connection | None = None
        self._owed: dict[tuple[str, float], int] = {}
        self._before: float | None = None
        self._again_at = float("-inf")
        self._said: str | None = None

    @property
    def hindrance(self) -> str | None:
        """Why the file is not written at the moment; None when it is."""
        return self._said

    def load(self) -> list[UsageRow]:
        """Open the file and return its rows, even where it can only be read."""
        try:
            self._con = self._connected()
            return _rows(self._con)
        except (OSError, sqlite3.Error) as error:
            self._failed(error)
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_reader(self._path)) as con:
            return _rows(con)
        return []

    def save(self, rows: Sequence[UsageRow], before: float | None = None) -> None:
        """Save rows (without units: delete them), and delete those before an epoch second. Never
        raises for errors of the file."""
        self._owed.update({(row.key, row.stamp): row.units for row in rows})
        if before is not None:
            self._before = before
            self._owed = {name: units for name, units in self._owed.items() if name[1] >= before}
        if (not self._owed and self._before is None) or self._clock() < self._again_at:
            return
        try:
            self._write()
        except (OSError, sqlite3.Error) as error:
            self._failed(error)
            return
        self._owed, self._before, self._again_at = {}, None, float("-inf")
        if self._said is not None:
            log.info("%s can be written again", self._path.name)
            self._said = None

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def _write(self) -> None:
        if self._con is None:
            self._con = self._connected()
        con = self._con
        con.execute("BEGIN IMMEDIATE")
        con.executemany(_KEEP, [(*name, units) for name, units in self._owed.items() if units])
        gone = [name for name, units in self._owed.items() if not units]
        con.executemany("DELETE FROM uses WHERE key = ? AND stamp = ?", gone)
        if self._before is not None:
            con.execute("DELETE FROM uses WHERE stamp < ?", (self._before,))
        con.execute("COMMIT")

    def _failed(self, error: Exception) -> None:
        """Close a file after an error, so that the next try opens it again; set it
        aside where it is damaged."""
        self._again_at = self._clock() + AGAIN_S
        with contextlib.suppress(sqlite3.Error):
            self.close()
        self._con = None
        if isinstance(error, sqlite3.Error) and sqlite_says_damaged(error):
            with contextlib.suppress(OSError):
                set_aside(self._path, error)
            self._again_at = float("-inf")
        if self._said is None:
            log.warning("cannot write %s; counting requests in memory only: %s", self._path.name, error)
        self._said = str(error)

    def _connected(self) -> sqlite3.Connection:
        if self._path.is_dir():
            set_aside(self._path, "it is a directory")
        try:
            return _opened(self._path)
        except sqlite3.Error as error:
            if not sqlite_says_damaged(error):
                raise
            set_aside(self._path, error)
        return _opened(self._path)


def _opened(path: Path) -> sqlite3.Connection:
    """Open the file and read all of it, which finds most kinds of damage."""
    make_file(path)
    # Opened on another thread, used on the actor's event loop.
    con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_WAIT_S)
    try:
        con.execute("PRAGMA journal_mode=WAL")
        con.execute("PRAGMA synchronous=OFF")
        con.execute(_MAKE)
        _rows(con)
    except BaseException:
        con.close()
        raise
    return con


def _reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_WAIT_S)


def _rows(con: sqlite3.Connection) -> list[UsageRow]:
    return [UsageRow(*row) for row in con.execute("SELECT key, stamp, units FROM uses")]
