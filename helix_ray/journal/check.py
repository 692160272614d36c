"""Checks that a journal's file has all acknowledged facts; read-only, at the start and for copies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from helix_ray.journal import former, snapshots
from helix_ray.journal.edge import TreeEdge
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.head import Claim
from helix_ray.journal.layout import format_of
from helix_ray.journal.sealing import check_files
from helix_ray.journal.tree import StoredTree

ROWS_PER_STEP = 10_000


def missing(first: int, claim: Claim) -> JournalDamaged:
    """Return the error for missing rows that HEAD says were acknowledged."""
    return JournalDamaged(
        f"facts {first} to {claim.seq} were acknowledged but are missing (to continue without them, "
        "remove HEAD)"
    )


def check_start(con: sqlite3.Connection, claim: Claim | None) -> TreeEdge:
    """Check the facts since the newest snapshot, and the hash in HEAD; return the tree's edge."""
    tree = StoredTree(con)
    check_files(con, tree.folder)
    newest = tree.newest()
    if claim is not None and newest < claim.seq:
        raise missing(newest + 1, claim)
    tree.check(snapshots.newest_fitting(con, tree), newest)
    edge = tree.edge(newest)
    _check_hash(con, tree, claim, edge)
    return edge


def check_all(
    con: sqlite3.Connection, claim: Claim | None, on_facts: Callable[[int], None] = lambda seq: None
) -> tuple[int, str]:
    """Check every fact of a file of any format; return the newest one's seq and its hash as in HEAD (hex)."""
    if format_of(con) == former.FORMAT:
        return check_format1(con, claim, on_facts)
    tree = StoredTree(con)
    newest = tree.newest()
    if claim is not None and newest < claim.seq:
        raise missing(newest + 1, claim)
    frontier = tree.check(0, newest, on_facts)
    _check_hash(con, tree, claim, tree.edge(newest))
    return newest, frontier.root().hex()


def check_format1(
    con: sqlite3.Connection, claim: Claim | None, on_facts: Callable[[int], None] = lambda seq: None
) -> tuple[int, str]:
    """Check every fact of a file of format 1; return the newest one's seq and hash (hex)."""
    newest = con.execute("SELECT coalesce(max(seq), 0) FROM facts").fetchone()[0]
    if claim is not None:
        if newest < claim.seq:
            raise missing(newest + 1, claim)
        found = former.hash_at(con, claim.seq)
        if found is None or found.hex() != claim.hash:
            raise JournalDamaged(f"fact {claim.seq} differs from the one that was acknowledged")
    seq, last_hash = 0, former.GENESIS
    for row in former.checked(former.rows_of(con)):
        seq, last_hash = row[0], row[9]
        if seq % ROWS_PER_STEP == 0:
            on_facts(seq)
    return seq, last_hash.hex()


def _check_hash(con: sqlite3.Connection, tree: StoredTree, claim: Claim | None, edge: TreeEdge) -> None:
    """Raise JournalDamaged unless the facts up to HEAD's seq have its hash: that of their edge, or their root
    (in backups, and in HEAD as earlier releases wrote it)."""
    if claim is None:
        return
    there = edge if claim.seq == edge.size else tree.edge(claim.seq)
    if claim.hash in (there.hash(), there.root().hex()):
        return
    # After a kill between an upgrade and the next HEAD, HEAD still has the last hash of format 1.
    upgraded = con.execute("SELECT value FROM meta WHERE name = 'format1'").fetchone()
    if upgraded is None or upgraded[0] != f"{claim.seq} {claim.hash}":
        raise JournalDamaged(
            f"facts up to {claim.seq} differ from those that were acknowledged: HEAD has another hash "
            "of their tree"
        )
