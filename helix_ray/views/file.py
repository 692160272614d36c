"""Opening the history's file: made where there is none, set aside where it cannot be used."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import duckdb

from helix_ray.derived import names_passing_cause, set_aside

LAYOUT = 4
MEMORY_MAX = "512MB"
THREADS = 2
# Of DuckDB's messages: "Could not set lock on file ...", "Corrupt database file: computed checksum ...".
LOCKED = "set lock on file"
CORRUPT = "Corrupt database file"


def open_history(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file, with its tables; one that is damaged is set aside and made again.

    Raises duckdb.Error where it cannot be opened for now: another process has it, or the
    disk or the system refuses.
    """
    try:
        return _connect(path)
    except duckdb.Error as error:
        if _passes(error):
            raise
        set_aside(path, error)
    return _connect(path)


def says_damaged(error: duckdb.Error) -> bool:
    """Say whether what DuckDB met in an open file means that the file is damaged."""
    broken = (duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
    return isinstance(error, broken) or CORRUPT in str(error)


def _passes(error: duckdb.Error) -> bool:
    """Say whether the file may be sound: DuckDB has one class for a damaged file and
    for a disk that refuses."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return True
    return LOCKED in str(error) or names_passing_cause(str(error))


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(path), config={"memory_limit": MEMORY_MAX, "threads": THREADS})
    try:
        # Object columns of a batch are strings, whatever a sample of them looks like (views/columns.py).
        con.execute("SET GLOBAL pandas_analyze_sample = 0")
        con.execute(files("helix_ray.views").joinpath("schema.sql").read_text("utf-8"))
        con.execute("INSERT INTO position SELECT ?, 0, 0, '{}' WHERE NOT EXISTS (FROM position)", [LAYOUT])
        found = con.execute("SELECT layout FROM position").fetchall()
        if found != [(LAYOUT,)]:
            raise duckdb.InvalidInputException(f"layout {found}; this release writes {LAYOUT}")
    except BaseException:
        con.close()
        raise
    return con
