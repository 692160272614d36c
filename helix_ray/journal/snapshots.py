"""Snapshots in the journal's file: kept small, signed, and used only where they fit the facts beside them."""

from __future__ import annotations

import hmac
import logging
import sqlite3
import time
import zlib
from typing import Any

import orjson

from helix_ray.journal.chain import GENESIS
from helix_ray.journal.encoding import from_json, to_json
from helix_ray.ports import Snapshot

log = logging.getLogger(__name__)

SNAPSHOTS_KEPT = 2
ZLIB_LEVEL = 1


def hash_at(con: sqlite3.Connection, seq: int) -> bytes | None:
    """Return the hash of row `seq` (of the empty journal for 0), or None where there is no such row."""
    if seq == 0:
        return GENESIS
    row = con.execute("SELECT hash FROM facts WHERE seq = ?", (seq,)).fetchone()
    return bytes(row[0]) if row is not None else None


def pack(body: dict[str, Any]) -> bytes:
    """Return a snapshot's body as it is stored."""
    return zlib.compress(to_json(body), ZLIB_LEVEL)


def save(con: sqlite3.Connection, key: bytes, seq: int, fold_version: int, packed: bytes) -> None:
    """Add a packed snapshot to the open transaction and drop all but the newest SNAPSHOTS_KEPT."""
    fact_hash = hash_at(con, seq)
    if fact_hash is None:
        raise ValueError(f"a snapshot of fact {seq}, which the journal does not have")
    mac = _mac(key, seq, fold_version, fact_hash, packed)
    row = (seq, fold_version, time.time(), fact_hash, mac, packed)
    con.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", row)
    con.execute(
        "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        (SNAPSHOTS_KEPT,),
    )


def load(con: sqlite3.Connection, key: bytes) -> Snapshot | None:
    """Return the newest snapshot that is whole and fits the facts."""
    rows = con.execute("SELECT seq, fold_version, hash, mac, body FROM snapshots ORDER BY seq DESC")
    for seq, fold_version, fact_hash, mac, body in rows:
        if hash_at(con, seq) != fact_hash:
            log.warning("the snapshot at %d is of other facts than these: not used", seq)
            continue
        if not hmac.compare_digest(mac, _mac(key, seq, fold_version, fact_hash, body)):
            log.warning("the snapshot at %d was changed or signed with another key: not used", seq)
            continue
        return Snapshot(seq, fold_version, from_json(zlib.decompress(body)))
    return None


def newest_fitting(con: sqlite3.Connection) -> int:
    """Return the seq of the newest snapshot that fits the facts, 0 without one."""
    for seq, fact_hash in con.execute("SELECT seq, hash FROM snapshots ORDER BY seq DESC"):
        if hash_at(con, seq) == fact_hash:
            return int(seq)
    return 0


def _mac(key: bytes, seq: int, fold_version: int, fact_hash: bytes, body: bytes) -> bytes:
    return hmac.digest(key, orjson.dumps([seq, fold_version]) + fact_hash + body, "sha256")
