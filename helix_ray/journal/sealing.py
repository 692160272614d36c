"""Moves old facts from the journal's file to segments while the journal is in use; a kill between any
two steps loses nothing.

    1. write    write a segment to a draft, read it back, verify it against the tree, make it durable, rename
                it; this runs beside the writer of the journal
    2. adopt    register it in the file, in one commit: from here on these facts are read from the segment
    3. clear    delete the rows that it contains, some at a time, between commits
    4. shrink   release the free pages to the disk, some at a time

A segment that was written but not adopted is written again. Only full segments move, the oldest facts first,
when they are older than `keep_s` or the file is larger than `keep_bytes`. They move only up to the newest
snapshot, so that a start never has to fold facts from segments.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from helix_ray.durable import sync
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.interned import Interned, Words
from helix_ray.journal.layout import connect
from helix_ray.journal.merkle import subtree_of
from helix_ray.journal.rows import ReadRow, RowReader
from helix_ray.journal.segment import BLOCK_FACTS, Segment, SegmentWriter
from helix_ray.journal.tree import StoredTree

# A segment has the facts under one node of this level: 16,384.
SEGMENT_LEVEL = 14
SEGMENT_FACTS = 1 << SEGMENT_LEVEL
DRAFT_SUFFIX = ".draft"
ROWS_PER_CLEARING = 512
PAGES_PER_SHRINKING = 64
_NAME = re.compile(r"\d{12}-\d{12}[\w.-]*\.facts")


class Sealed(NamedTuple):
    """A written segment, ready to be adopted."""

    first: int
    last: int
    file: str
    bytes: int


def due(con: sqlite3.Connection, keep_s: float, keep_bytes: int, now: float) -> int | None:
    """Return the first seq of the next segment to write; None when none is due."""
    first = StoredTree(con).sealed() + 1
    last = first + SEGMENT_FACTS - 1
    newest_snapshot = con.execute("SELECT coalesce(max(seq), 0) FROM snapshots").fetchone()[0]
    if last > newest_snapshot:
        return None
    if bytes_used(con) > keep_bytes:
        return first
    at = con.execute(
        "SELECT at FROM facts WHERE seq <= ? AND at IS NOT NULL ORDER BY seq DESC LIMIT 1", (last,)
    ).fetchone()
    return first if at is not None and at[0] < now - keep_s else None


def bytes_used(con: sqlite3.Connection) -> int:
    """Return the size of the file without its free pages."""
    pages, free, size = (
        con.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def write_segment(path: Path, first: int) -> Sealed:
    """Write the segment that begins with fact `first`, over a separate connection;
    `path` is the journal's file.

    Each block is read in a separate transaction, so that the WAL can be checkpointed. Raises JournalDamaged
    where the facts do not match the tree.
    """
    with contextlib.closing(connect(path, "ro")) as con:
        tree = StoredTree(con)
        starts = range(first - 1, first - 1 + SEGMENT_FACTS, BLOCK_FACTS)
        blocks = (tree.file_rows(start, start + BLOCK_FACTS) for start in starts)
        root = tree.node(SEGMENT_LEVEL, (first - 1) >> SEGMENT_LEVEL)
        return _write(tree.folder, first, blocks, Interned(con), root, "")


def without(folder: Path, sealed: Sealed, seqs: Sequence[int], mark: str) -> Sealed:
    """Rewrite a segment without the bodies of some facts, in a new file with `mark` in its name."""
    old = Segment(folder / sealed.file)
    gone = frozenset(seqs)
    starts = range(old.first, old.last + 1, BLOCK_FACTS)
    blocks = ([_erased(row) if row[0] in gone else row for row in old.rows_from(start)] for start in starts)
    return _write(folder, old.first, blocks, old, old.root, mark)


def _erased(row: ReadRow) -> ReadRow:
    seq, kind, subject, content, at, author, request, digest = row
    return (
        seq,
        kind,
        subject,
        None,
        at,
        author,
        request,
        sha256(content).digest() if content is not None else digest,
    )


def _write(
    folder: Path, first: int, blocks: Iterable[list[ReadRow]], words: Words, root: bytes, mark: str
) -> Sealed:
    """Write a segment, read it back and verify it against the tree, and rename it; all steps are durable."""
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / f".{first:012d}{mark}{DRAFT_SUFFIX}"
    writer = SegmentWriter(draft, words)
    try:
        for rows in blocks:
            writer.add(rows)
        size = writer.finish(root)
    except BaseException:
        writer.abandon()
        draft.unlink(missing_ok=True)
        raise
    segment = Segment(draft)
    check_segment(segment, draft, root)
    name = f"{segment.first:012d}-{segment.last:012d}{mark}.facts"
    draft.rename(folder / name)
    sync(folder)
    return Sealed(segment.first, segment.last, name, size)


def check_segment(segment: Segment, path: Path, root: bytes) -> None:
    """Verify every fact of a segment against the hash of its node. Raises JournalDamaged."""
    leaves: list[bytes] = []
    while len(leaves) < segment.last - segment.first + 1:
        seq = segment.first + len(leaves)
        leaves += RowReader(segment).leaves(segment.rows_from(seq), seq - 1)
    if subtree_of(leaves) != root or segment.root != root:
        raise JournalDamaged(f"{path}: facts {segment.first} to {segment.last} do not match the tree")


# ------------------------------------------------------------------------------------------ the file


def adopt(con: sqlite3.Connection, sealed: Sealed) -> None:
    """Register a segment in the file, in the open transaction; it replaces one for the same facts."""
    con.execute(
        "INSERT OR REPLACE INTO segments (last, first, file, bytes) VALUES (?, ?, ?, ?)",
        (sealed.last, sealed.first, sealed.file, sealed.bytes),
    )


def has_erased(con: sqlite3.Connection, folder: Path, sealed: Sealed) -> bool:
    """Say whether a segment contains bodies that were erased in the file after the
    segment was read from it."""
    erased = con.execute(
        "SELECT seq FROM facts WHERE seq BETWEEN ? AND ? AND content IS NULL", (sealed.first, sealed.last)
    ).fetchall()
    segment = Segment(folder / sealed.file) if erased else None
    return segment is not None and any(
        row[3] is not None for (seq,) in erased for row in segment.rows_from(seq) if row[0] == seq
    )


def clear_some(con: sqlite3.Connection) -> bool:
    """Delete some of the rows that segments contain, in the open transaction; say
    whether there may be more."""
    sealed = con.execute("SELECT coalesce(max(last), 0) FROM segments").fetchone()[0]
    oldest = con.execute("SELECT min(seq) FROM facts").fetchone()[0]
    if oldest is None or oldest > sealed:
        return False
    con.execute("DELETE FROM facts WHERE seq < ?", (min(sealed + 1, oldest + ROWS_PER_CLEARING),))
    return True


def shrink_some(con: sqlite3.Connection) -> bool:
    """Release some free pages to the disk; say whether there are more. SQLite says nothing where it cannot
    release any, as on a disk whose syncs fail: then there is nothing more to do now."""
    before = _free_pages(con)
    con.execute(f"PRAGMA incremental_vacuum({PAGES_PER_SHRINKING})").fetchall()
    return 0 < _free_pages(con) < before


def _free_pages(con: sqlite3.Connection) -> int:
    return int(con.execute("PRAGMA freelist_count").fetchone()[0])


def listed(con: sqlite3.Connection) -> list[Sealed]:
    """Return the segments that are registered in the file, the oldest first."""
    found = [
        Sealed(*row)
        for row in con.execute("SELECT first, last, file, bytes FROM segments ORDER BY last").fetchall()
    ]
    for sealed in found:
        # A journal may come from elsewhere (a backup), and files are created and removed by these
        # names: so they are checked. SQLite reads a damaged row with values of any type.
        if not isinstance(sealed.file, str) or _NAME.fullmatch(sealed.file) is None:
            raise JournalDamaged(f"{sealed.file!r} is not a valid name of a segment")
    return found


def check_files(con: sqlite3.Connection, folder: Path) -> None:
    """Raise JournalDamaged unless every segment exists with its size."""
    for sealed in listed(con):
        path = folder / sealed.file
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise JournalDamaged(
                f"{path} is missing: it contained facts {sealed.first} to {sealed.last}"
            ) from None
        if size != sealed.bytes:
            raise JournalDamaged(f"{path} has {size} bytes, not {sealed.bytes}")


def tidy(con: sqlite3.Connection, folder: Path, erased: Sequence[int] = ()) -> None:
    """Remove files whose facts are in another segment, or that contain erased bodies;
    other unknown files stay."""
    current = {(sealed.first, sealed.last): sealed.file for sealed in listed(con)}
    for path in folder.glob("*.facts"):
        first, _, last = path.name[:25].partition("-")
        named = current.get((int(first), int(last)))
        # A file that is not registered was written just before a kill, or is being adopted.
        orphaned = named is None and any(int(first) <= seq <= int(last) for seq in erased)
        if orphaned or named not in (None, path.name):
            path.unlink()


def remove_drafts(folder: Path) -> None:
    """Remove incomplete files after a kill; only at a start, when nothing else writes."""
    for draft in folder.glob(f".*{DRAFT_SUFFIX}"):
        draft.unlink()
