"""Format 1, which releases before 0.1 wrote: read, checked against its own hashes, and never written.

hash(n) = SHA-256(hash(n-1) || header || body), where header is the JSON list [seq, epoch, at, kind,
version, subject, actor, request_id] and body is the fact's JSON as stored, with names. hash(0) is 32 zero
bytes. There is no origin.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import orjson

from helix_ray.core.codec import from_body
from helix_ray.core.events import Fact
from helix_ray.journal.encoding import from_json
from helix_ray.journal.errors import JournalDamaged

FORMAT = 1
GENESIS = bytes(32)
COLUMNS = "seq, epoch, at, kind, version, subject, actor, request_id, body, hash"

# (seq, epoch, at, kind, version, subject, actor, request_id, body, hash)
Row = tuple[int, int, float, str, int, str, str, str, bytes, bytes]


def rows_of(con: sqlite3.Connection) -> Iterator[Row]:
    """Return all rows, the oldest first."""
    return con.execute(f"SELECT {COLUMNS} FROM facts ORDER BY seq")


def checked(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield all rows, each after its hash was verified. Raises JournalDamaged."""
    dumps, seq, previous = orjson.dumps, 0, GENESIS
    for row in rows:
        if row[0] != seq + 1:
            raise JournalDamaged(f"facts {seq + 1} to {row[0] - 1} are missing from the journal")
        seq = row[0]
        try:
            expected = sha256(previous + dumps(row[:8]) + row[8]).digest()
        except TypeError:
            # A damaged row can contain text where bytes belong.
            expected = b""
        if row[9] != expected:
            raise JournalDamaged(f"fact {seq} was changed after it was written: its hash does not match")
        previous = expected
        yield row


def hash_at(con: sqlite3.Connection, seq: int) -> bytes | None:
    """Return the hash of row `seq` (for 0 that of the empty journal), or None where there is no such row."""
    if seq == 0:
        return GENESIS
    row = con.execute("SELECT hash FROM facts WHERE seq = ?", (seq,)).fetchone()
    return bytes(row[0]) if row is not None else None


def to_fact(row: Row) -> Fact:
    """Return the fact of a row; raise UnknownKind for one that a later release wrote."""
    seq, _, at, kind, version, _, actor, request_id, body, _ = row
    value: dict[str, Any] = from_json(body)
    return Fact(seq, at, actor, request_id, from_body(kind, version, value))
