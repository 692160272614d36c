"""How a journal's file is laid out: pages, write-ahead log, tables."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

FORMAT = 2
PAGE_BYTES = 8192
# The write-ahead log is folded into the file when it has this many pages (8 MiB).
CHECKPOINT_PAGES = 1000
# A log that had to grow beyond this (a reader held it up) is cut back to it when it is folded in.
LOG_KEPT_BYTES_MAX = 64 << 20

INSERT_FACT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
INSERT_NODE = "INSERT INTO nodes VALUES (?, ?, ?)"


def settle(con: sqlite3.Connection) -> None:
    """Give a connection that writes its settings, and a file that has none its tables."""
    con.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    # Before there are tables; later it says nothing. Pages of what is taken out are given back step by step.
    con.execute("PRAGMA auto_vacuum = INCREMENTAL")
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    con.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES_MAX}")
    # What is erased is overwritten, not only unlinked.
    con.execute("PRAGMA secure_delete = ON")
    con.execute("BEGIN IMMEDIATE")
    for statement in _statements():
        con.execute(statement)
    con.execute(f"PRAGMA user_version = {FORMAT}")
    con.execute("COMMIT")


def _statements() -> list[str]:
    text = files("helix_ray.journal").joinpath("schema.sql").read_text("utf-8")
    lines = [line.partition("--")[0] for line in text.splitlines()]
    return [part for part in "\n".join(lines).split(";") if part.strip()]
