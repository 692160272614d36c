"""Upgrades a journal of format 1 to format 2 at a start; a kill at any step is safe.

    1. check   verify every row against its hash, and the last against HEAD, before anything is written
    2. draft   write all facts and snapshots in format 2 to `.journal.sqlite.upgrade`; its `meta` row
               'format1' has the seq and hash in HEAD, so that a start accepts this HEAD until it is rewritten
    3. settle  checkpoint the old file's WAL and link the file as `journal.sqlite.format1`: the copy to keep
    4. switch  rename the durable draft to `journal.sqlite`: the step that makes the upgrade effective

A kill before step 4 leaves the old journal as it was, and the next start begins again. The copy is for a
return to an older release, which cannot read format 2 (JournalTooNew). It contains everything up to the
upgrade; remove it when it is not needed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from itertools import islice
from pathlib import Path

from helix_ray.durable import sync
from helix_ray.journal import former, layout, snapshots
from helix_ray.journal.check import check_format1
from helix_ray.journal.head import Claim
from helix_ray.journal.interned import Interned
from helix_ray.journal.layout import connect, format_of, has_tables
from helix_ray.journal.leaves import leaves_of
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.rows import TILE_LEVEL, Salts, encode, insert
from helix_ray.journal.tree import StoredTree
from helix_ray.private import make_file

log = logging.getLogger(__name__)

COPY_SUFFIX = ".format1"
FACTS_PER_COMMIT = 10_000


def upgrade(path: Path, key: bytes, claim: Claim | None) -> None:
    """Upgrade a journal's file to the current format if it has an older one. Raises
    JournalDamaged, JournalTooNew."""
    if not is_format1(path):
        return
    log.warning("%s has format 1; checking it and rewriting it in format %d", path, layout.FORMAT)
    draft = path.with_name(f".{path.name}.upgrade")
    with contextlib.closing(connect(path, "ro")) as old:
        check_format1(old, claim)
        size = _write(old, draft, key, claim)
    _checkpoint(path)
    _keep(path)
    sync(draft)
    draft.rename(path)
    sync(path.parent)
    log.warning(
        "upgraded %d facts to format %d; %s%s is a copy of the old journal",
        size,
        layout.FORMAT,
        path,
        COPY_SUFFIX,
    )


def is_format1(path: Path) -> bool:
    """Say whether a file is a journal of format 1."""
    if not path.exists():
        return False
    with contextlib.closing(connect(path, "ro")) as con:
        return has_tables(con) and format_of(con) == former.FORMAT


def refuse_unwritable(path: Path) -> None:
    """Raise OSError for a journal of format 1 on a read-only disk, where it cannot be upgraded."""
    if is_format1(path):
        raise OSError(
            errno.EROFS,
            "the journal has format 1 and cannot be upgraded: the disk is read-only or full",
            path,
        )


def _write(old: sqlite3.Connection, draft: Path, key: bytes, claim: Claim | None) -> int:
    """Copy everything in a file of format 1 to a draft; return the number of facts."""
    for left in (draft, *(draft.with_name(draft.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        left.unlink(missing_ok=True)
    make_file(draft)
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as new:
        layout.configure(new)
        new.execute("PRAGMA synchronous = OFF")  # made durable as a whole before it is renamed
        size = _write_facts(old, new)
        _write_snapshots(old, new, key)
        epoch = old.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
        new.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        if claim is not None:
            new.execute("INSERT INTO meta VALUES ('format1', ?)", (f"{claim.seq} {claim.hash}",))
        # A single file without a WAL can be renamed.
        new.execute("PRAGMA journal_mode = DELETE")
    return size


def _write_facts(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    words, salts, frontier = Interned(new), Salts(), Frontier()
    rows = former.checked(former.rows_of(old))
    while some := list(islice(rows, FACTS_PER_COMMIT)):
        new.execute("BEGIN")
        for epoch in sorted({row[1] for row in some}):
            facts = [former.to_fact(row) for row in some if row[1] == epoch]
            encoded = encode(facts, frontier.size, epoch, words, salts)
            frontier, completed = frontier.extended(leaves_of(encoded), TILE_LEVEL)
            insert(new, encoded.rows)
            new.executemany(layout.INSERT_NODE, completed)
        new.execute("COMMIT")
    return frontier.size


def _write_snapshots(old: sqlite3.Connection, new: sqlite3.Connection, key: bytes) -> None:
    """Sign the snapshots that match the old rows again, for the root at their seq."""
    tree = StoredTree(new)
    rows = old.execute("SELECT seq, fold_version, hash, mac, body FROM snapshots ORDER BY seq").fetchall()
    for seq, fold_version, fact_hash, mac, body in rows:
        if former.hash_at(old, seq) != fact_hash or mac != snapshots.mac_of(
            key, seq, fold_version, fact_hash, body
        ):
            log.warning("leaving out the snapshot at %d: it does not match the facts", seq)
            continue
        snapshots.save(new, tree, key, seq, fold_version, body)


def _checkpoint(path: Path) -> None:
    """Checkpoint the old file's WAL, so that it is a single file; raises
    sqlite3.OperationalError while others read."""
    with contextlib.closing(connect(path, "rw")) as con:
        mode = con.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    if mode != "delete" or path.with_name(f"{path.name}-wal").exists():
        raise sqlite3.OperationalError(f"{path} cannot be upgraded while another process is reading it")


def _keep(path: Path) -> None:
    """Link the old file under its second name; a file left there by a killed upgrade is the same journal."""
    copy = path.with_name(path.name + COPY_SUFFIX)
    copy.unlink(missing_ok=True)
    os.link(path, copy)
    sync(path.parent)
