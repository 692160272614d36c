"""Opening the history's file: made where there is none, set aside where it cannot be used."""

from __future__ import annotations

import logging
from importlib.resources import files
from pathlib import Path

import duckdb

log = logging.getLogger(__name__)

LAYOUT = 2
MEMORY_MAX = "512MB"
THREADS = 2
# One unusable file is kept under this suffix, for whoever wants to know why.
ASIDE_SUFFIX = ".unusable"


def open_history(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file, with its tables. Raises duckdb.IOException when another process has it."""
    try:
        return _connect(path)
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise
        log.warning("%s cannot be used and is built anew from the journal: %s", path, error)
    _set_aside(path)
    return _connect(path)


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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


def _set_aside(path: Path) -> None:
    log_path = path.with_name(path.name + ".wal")
    log_path.unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ASIDE_SUFFIX))
