"""Facts to rows and back, each row chained to the one before it.

hash(n) = SHA-256(hash(n-1) || header || body), where header is the JSON list [seq, epoch, at, kind, version,
subject, actor, request_id] and body is the fact's JSON as stored. A JSON list says itself where it ends, so no
two rows have the same bytes. hash(0) is 32 zero bytes. Format 1 has no place for a fact's origin: it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import orjson

from helix_ray.core.codec import KINDS, VERSIONS, from_body
from helix_ray.core.events import Fact, subject_of
from helix_ray.journal.encoding import to_json
from helix_ray.journal.errors import JournalDamaged, SeqGap
from helix_ray.plain import stored

GENESIS = bytes(32)

# (seq, epoch, at, kind, version, subject, actor, request_id, body, hash)
Row = tuple[int, int, float, str, int, str, str, str, bytes, bytes]

_KIND_OF = {made: (name, VERSIONS.get(name, 1)) for name, made in KINDS.items()}


def to_rows(facts: Sequence[Fact], seq: int, previous: bytes, epoch: int) -> list[Row]:
    """Return the rows of facts that follow row `seq`, whose hash is `previous`. Raises SeqGap."""
    rows: list[Row] = []
    dumps = orjson.dumps
    for fact in facts:
        seq += 1
        if fact.seq != seq:
            raise SeqGap(f"fact {fact.seq} does not follow {seq - 1}")
        event = fact.event
        kind, version = _KIND_OF[type(event)]
        subject, at, body = subject_of(event), float(fact.at), to_json(event)
        header = dumps((seq, epoch, at, kind, version, subject, fact.actor, fact.request_id))
        previous = sha256(previous + header + body).digest()
        rows.append(
            (seq, epoch, at, kind, version, subject, fact.actor, fact.request_id, body, previous)
        )  # fmt: skip
    return rows


def check_rows(rows: Iterable[Row], seq: int, previous: bytes) -> tuple[int, bytes]:
    """Check rows that should follow row `seq`; return the last one's seq and hash. Raises JournalDamaged."""
    dumps = orjson.dumps
    for row in rows:
        if row[0] != seq + 1:
            raise JournalDamaged(f"facts {seq + 1} to {row[0] - 1} are missing from the journal")
        seq = row[0]
        try:
            expected = sha256(previous + dumps(row[:8]) + row[8]).digest()
        except TypeError:
            # A damaged row can hold text where bytes belong.
            expected = b""
        if row[9] != expected:
            raise JournalDamaged(f"fact {seq} is not what was written: its hash does not fit")
        previous = expected
    return seq, previous


def to_fact(seq: int, at: float, actor: str, request_id: str, kind: str, version: int, body: bytes) -> Fact:
    """Return the fact of a row; raise UnknownKind for one that a later release wrote.

    What an older release took in, and no answer could show, comes escaped.
    """
    value: dict[str, Any] = stored(body)
    return Fact(seq, at, actor, request_id, from_body(kind, version, value))
