"""Writes an export from a data directory, whose server may run; a file that exists is continued."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from helix_ray.audit_export.lines import BEGINS_WITH, Beginning, NotAnExport, lines_of
from helix_ray.audit_export.verify import Tampered, verify_file
from helix_ray.checkpoints import CheckpointFailed, origin_of, with_journal
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.former import FORMAT as FORMER_FORMAT
from helix_ray.journal.layout import connect, format_of, has_tables
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.sqlite import FILE_NAME as JOURNAL_FILE
from helix_ray.journal.tree import StoredTree

FACTS_PER_STEP = 4096
READ_BACK_BYTES = 1 << 16


class Exported(NamedTuple):
    """The export has facts `after` + 1 to `last`; `added` of them were written by this call."""

    after: int
    last: int
    added: int


def export(
    data_dir: Path, out: Path, after: int = 0, on_facts: Callable[[int], None] = lambda seq: None
) -> Exported:
    """Write the facts after a seq to a file of mode 0600, durably; where it exists, verify and continue it.

    Raises CheckpointFailed without a journal, Tampered where the file is not of this journal, NotAnExport,
    JournalDamaged, OSError, sqlite3.Error.
    """
    with contextlib.closing(connect(with_journal(data_dir) / JOURNAL_FILE, "ro")) as con:
        if not has_tables(con):
            raise JournalDamaged(f"{data_dir / JOURNAL_FILE} does not contain a journal")
        if format_of(con) == FORMER_FORMAT:
            raise CheckpointFailed("the journal has no tree yet: start the server once to make it")
        return _export(StoredTree(con), out, after, on_facts)


def _export(tree: StoredTree, out: Path, after: int, on_facts: Callable[[int], None]) -> Exported:
    newest = tree.newest()
    if after > newest or newest == 0:
        raise CheckpointFailed(f"the journal has {newest} facts: there are none after fact {after}")
    handle = os.open(out, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+b") as file:
        _drop_torn_line(handle, out)
        if os.fstat(handle).st_size:
            after, start = _continued(tree, out, newest)
        else:
            start = after
            file.write(Beginning(origin_of(tree.leaf(1)), tree.frontier(after)).line())
        file.seek(0, os.SEEK_END)
        done = start
        while done < newest:
            through = min(newest, done + FACTS_PER_STEP)
            file.write(lines_of(tree.parts(done, through), done))
            done = through
            on_facts(done)
        file.flush()
        os.fsync(handle)
    return Exported(after, newest, newest - start)


def _continued(tree: StoredTree, out: Path, newest: int) -> tuple[int, int]:
    """Return after which fact an export begins and how far it goes, if it is one of this journal."""
    found = verify_file(out)
    frontier: Frontier = found.frontier
    if frontier.size > newest:
        raise Tampered(
            newest + 1, frontier.size, f"{out} has {frontier.size} facts, and the journal {newest}"
        )
    if frontier.size and tree.root(frontier.size) != frontier.root():
        raise Tampered(1, frontier.size, f"{out} does not have the facts of this journal")
    return found.beginning.frontier.size, frontier.size


def _drop_torn_line(handle: int, out: Path) -> None:
    """Remove what a kill left of a last line. Raises NotAnExport where nothing says that we wrote it."""
    size = end = os.fstat(handle).st_size
    if not BEGINS_WITH.startswith(os.pread(handle, len(BEGINS_WITH), 0)):
        raise NotAnExport(f"{out} does not begin as an export of facts does: give a file of another name")
    while end:
        start = max(0, end - READ_BACK_BYTES)
        cut = os.pread(handle, end - start, start).rfind(b"\n")
        if cut >= 0:
            end = start + cut + 1
            break
        end = start
    if end != size:
        os.ftruncate(handle, end)
