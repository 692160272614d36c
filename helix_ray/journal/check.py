"""Whether a journal's file holds what was acknowledged: read-only, for its owner's start and for copies of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from helix_ray.journal import snapshots
from helix_ray.journal.chain import Row, check_rows
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.head import Claim

FORMAT = 1
# How long another connection (a backup, a person with sqlite3) may keep a commit waiting.
BUSY_WAIT_S = 5.0
ROWS_PER_STEP = 10_000
# Named one by one, so that a damaged schema is noticed at the start.
COLUMNS = "seq, epoch, at, kind, version, subject, actor, request_id, body, hash"


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


def check_claim(con: sqlite3.Connection, claim: Claim | None) -> None:
    """Raise JournalDamaged unless the journal has the fact that HEAD names."""
    if claim is None:
        return
    newest = con.execute("SELECT coalesce(max(seq), 0) FROM facts").fetchone()[0]
    if newest < claim.seq:
        raise missing(newest + 1, claim)
    found = snapshots.hash_at(con, claim.seq)
    if found is None or found.hex() != claim.hash:
        raise JournalDamaged(f"fact {claim.seq} is not the one that was acknowledged")


def missing(first: int, claim: Claim) -> JournalDamaged:
    """Return the error for rows that HEAD vouches for and that are not there."""
    return JournalDamaged(
        f"facts {first} to {claim.seq} were acknowledged and are missing (to go on without them, remove HEAD)"
    )


def check_chain(
    con: sqlite3.Connection, seq: int, on_rows: Callable[[int], None] | None = None
) -> tuple[int, bytes]:
    """Check the chain after row `seq`; return the newest row's seq and hash. `on_rows` hears every ROWS_PER_STEP rows."""
    previous = snapshots.hash_at(con, seq)
    if previous is None:
        raise JournalDamaged(f"fact {seq} is missing from the journal")
    rows = con.execute(f"SELECT {COLUMNS} FROM facts WHERE seq > ? ORDER BY seq", (seq,))
    return check_rows(rows if on_rows is None else _counted(rows, on_rows), seq, previous)


def _counted(rows: Iterable[Row], on_rows: Callable[[int], None]) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        if count % ROWS_PER_STEP == 0:
            on_rows(count)
        yield row
