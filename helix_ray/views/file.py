"""Opens the history's file: a missing file is created, an unusable one is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zlib import crc32

import duckdb

from helix_ray.core.audit.records import RECORDS_VERSION
from helix_ray.derived import names_passing_cause, set_aside
from helix_ray.views.audit import AUDIT, CONFIGURED
from helix_ray.views.checkpoints import CHECKPOINTS
from helix_ray.views.columns import SUBMITTED, TASKS, table
from helix_ray.views.generated import KINDS
from helix_ray.views.outside import add_outside, file_in, foreign, reading

# One row: the position of the history.
_POSITION = """CREATE TABLE IF NOT EXISTS position (
    layout   BIGINT  NOT NULL, -- another than this release's: the file is built anew
    ingested BIGINT  NOT NULL, -- facts up to this seq are in the tables
    resumed  BIGINT  NOT NULL, -- facts after this seq are read again at the start, for what `attempts` lacks
    attempts VARCHAR NOT NULL, -- JSON: what is known of unfinished tasks as of `resumed` (views/attempts.py)
    audit_removed BIGINT NOT NULL -- retention has removed records of the audit up to this seq
);"""
# A row for each FactsErased since the file was last written anew: until then, deleted rows
# are still in its blocks.
_ERASED = "CREATE TABLE IF NOT EXISTS erased (seq BIGINT NOT NULL);"
# One row for each task: its spec, and its execution. A task that is queued again or deleted loses the second.
# There are no indexes: rows are in the order of time, so DuckDB's zone maps find them by key and seq.
_TABLES = "\n".join(
    (
        table("submitted", SUBMITTED),
        table("tasks", TASKS),
        table("audit", AUDIT),
        table("configured", CONFIGURED),
        table("checkpoints", CHECKPOINTS),
        _ERASED,
        _POSITION,
    )
)
# A hash of the tables and of what is written into which column, so a file with others is never misread.
LAYOUT = crc32(" ".join((_TABLES, str(RECORDS_VERSION), *KINDS)).encode())
MEMORY_MAX = "512MB"
THREADS = 2
# In DuckDB's messages: "Could not set lock on file ...", "Corrupt database file: computed checksum ...".
LOCKED = "set lock on file"
CORRUPT = "Corrupt database file"
# The name of a file that is open for reading only.
ATTACHED = "history"


def open_history(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file and its tables; a damaged file is set aside and made again.

    Raises duckdb.Error where it cannot be opened at the moment: another process uses it, or an I/O error.
    """
    try:
        return _connect(path)
    except duckdb.Error as error:
        if _passes(error):
            raise
        set_aside(path, error)
    return _connect(path)


class HistoryClosed(Exception):
    """The file cannot be read as it is; the message says why, in one line."""


def open_reading(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a file that no process uses, and change nothing; its tables are those of the database ATTACHED.
    Raises HistoryClosed."""
    con = _attach(path)
    with reading(con) as outside:
        extra = foreign(outside)
    if extra:
        con.close()
        raise HistoryClosed(f"{path} has {', '.join(extra)}")
    return con


@contextmanager
def reading_only(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file that no process uses, whatever is in it, and change nothing. Raises HistoryClosed."""
    con = _attach(path)
    try:
        yield con
    except duckdb.Error as error:
        raise HistoryClosed(_why(path, error)) from None
    finally:
        con.close()


def _attach(path: Path) -> duckdb.DuckDBPyConnection:
    with ExitStack() as where_it_fails:
        con = duckdb.connect(":memory:", config={"memory_limit": MEMORY_MAX, "threads": THREADS})
        where_it_fails.callback(con.close)
        try:
            con.execute("SET GLOBAL pandas_analyze_sample = 0")
            con.execute(f"ATTACH '{quoted(path)}' AS {ATTACHED} (READ_ONLY)")
            add_outside(con, _TABLES)
            with reading(con) as outside:
                found = outside.execute(f'SELECT layout FROM "{file_in(outside)}".main.position').fetchall()
        except duckdb.Error as error:
            raise HistoryClosed(_why(path, error)) from None
        if any(layout != LAYOUT for (layout,) in found):
            raise HistoryClosed(f"{path} is of another release: the next start builds it from the journal")
        where_it_fails.pop_all()
    return con


def quoted(path: Path) -> str:
    """Return a path as it stands between quotes in a statement."""
    return str(path).replace("'", "''")


def _why(path: Path, error: duckdb.Error) -> str:
    if LOCKED in str(error):
        return f"{path} is in use: a running server compares it itself; stop it, or give a copy of the folder"
    return f"{path} cannot be read: {' '.join(str(error).split())}"


def says_damaged(error: duckdb.Error) -> bool:
    """Say whether DuckDB's error on an open file means that the file is damaged."""
    broken = (duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
    if CORRUPT in str(error):
        return True
    return isinstance(error, broken) and not names_passing_cause(str(error))


def is_given_up(error: duckdb.Error) -> bool:
    """Say whether DuckDB's error means that an intact file has to be opened again: a checkpoint failed, for
    example on a full disk, or it could not be opened again the last time."""
    if isinstance(error, duckdb.ConnectionException):
        return True
    return isinstance(error, duckdb.FatalException) and not says_damaged(error)


def _passes(error: duckdb.Error) -> bool:
    """Say whether the file may be intact: DuckDB has one class for a damaged file and for I/O errors."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return True
    return LOCKED in str(error) or names_passing_cause(str(error))


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(path), config={"memory_limit": MEMORY_MAX, "threads": THREADS})
    try:
        # Object columns of a batch are strings; DuckDB must not guess types from a sample (views/batch.py).
        con.execute("SET GLOBAL pandas_analyze_sample = 0")
        add_outside(con, _TABLES)
        con.execute(_TABLES)
        con.execute("INSERT INTO position SELECT ?, 0, 0, '{}', 0 WHERE NOT EXISTS (FROM position)", [LAYOUT])
        found = con.execute("SELECT layout FROM position").fetchall()
        if found != [(LAYOUT,)]:
            raise duckdb.InvalidInputException(f"layout {found}; this release writes {LAYOUT}")
        with reading(con) as outside:
            if extra := foreign(outside):
                raise duckdb.InvalidInputException(f"it has {', '.join(extra)}")
    except BaseException:
        con.close()
        raise
    return con
