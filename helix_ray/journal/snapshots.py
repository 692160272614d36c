"""Snapshots in the journal's file: compressed, signed, and used only if they match the facts."""

from __future__ import annotations

import hmac
import logging
import sqlite3
import time

import orjson

from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.pages import unpack
from helix_ray.journal.tree import StoredTree
from helix_ray.ports import Snapshot

log = logging.getLogger(__name__)

SNAPSHOTS_KEPT = 2


def save(
    con: sqlite3.Connection, tree: StoredTree, key: bytes, seq: int, fold_version: int, packed: bytes
) -> None:
    """Add a packed snapshot to the open transaction and drop all but the newest SNAPSHOTS_KEPT."""
    if seq > tree.newest():
        raise ValueError(f"cannot store a snapshot at fact {seq}, which is not in the journal")
    root = tree.root(seq)
    mac = mac_of(key, seq, fold_version, root, packed)
    row = (seq, fold_version, time.time(), root, mac, packed)
    con.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", row)
    con.execute(
        "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        (SNAPSHOTS_KEPT,),
    )


def load(con: sqlite3.Connection, tree: StoredTree, key: bytes) -> Snapshot | None:
    """Return the newest intact snapshot that matches the facts."""
    rows = con.execute(
        "SELECT seq, fold_version, hash, mac, body FROM snapshots ORDER BY seq DESC"
    ).fetchall()
    for seq, fold_version, root, mac, body in rows:
        if not _fits(tree, seq, root):
            log.warning("ignoring the snapshot at %d: it was made from other facts", seq)
            continue
        if not _is_signed(key, seq, fold_version, root, mac, body):
            log.warning("ignoring the snapshot at %d: it was changed or signed with another key", seq)
            continue
        return Snapshot(seq, fold_version, unpack(body))
    return None


def newest_fitting(con: sqlite3.Connection, tree: StoredTree) -> int:
    """Return the seq of the newest snapshot that matches the facts, 0 without one."""
    for seq, root in con.execute("SELECT seq, hash FROM snapshots ORDER BY seq DESC").fetchall():
        if _fits(tree, seq, root):
            return int(seq)
    return 0


def _fits(tree: StoredTree, seq: int, root: bytes) -> bool:
    try:
        return seq <= tree.newest() and tree.root(seq) == root
    except JournalDamaged:
        return False


def _is_signed(key: bytes, seq: int, fold_version: object, root: bytes, mac: object, body: object) -> bool:
    """Say whether a row is as it was written: a damaged one can have values of any type."""
    if not (isinstance(fold_version, int) and isinstance(mac, bytes) and isinstance(body, bytes)):
        return False
    return hmac.compare_digest(mac, mac_of(key, seq, fold_version, root, body))


def mac_of(key: bytes, seq: int, fold_version: int, root: bytes, body: bytes) -> bytes:
    """Return a snapshot's signature."""
    return hmac.digest(key, orjson.dumps([seq, fold_version]) + root + body, "sha256")
