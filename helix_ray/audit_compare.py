"""Compares the audit of a history with the journal: every record that can be searched, with the facts.

The journal is proved by its tree (helix_ray/checkpoints.py), the history by nothing: whoever can edit its
file could make a search show what never happened. Here its records are made once more from the facts, some
thousand at a time, and compared with those in the file (views/audit_comparison.py).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from helix_ray.core.audit.records import AuditRecord
from helix_ray.core.audit.retention import Removals, Retention
from helix_ray.core.events import Fact, FactsErased
from helix_ray.home import HISTORY_FILE as HISTORY_FILE
from helix_ray.journal.fact_reader import FactReader
from helix_ray.journal.sqlite import FILE_NAME as JOURNAL_FILE
from helix_ray.views.audit_comparison import AuditComparison, Difference, Differs
from helix_ray.views.audit_page import EVERY, AuditPage, page_of, page_text
from helix_ray.views.file import HistoryClosed, reading_only

FACTS_PER_PAGE = 4_096
BYTES_PER_PAGE = 8 << 20
# An erasure while it is compared changes both, one after the other: then it begins again.
TRIES_MAX = 5

# Returns the records of the facts after one seq and up to another; first of all, after 0 and up to 0.
Pages = Callable[[int, int], AuditPage]


class Compared(NamedTuple):
    """The records of facts 1 to `facts` were compared, up to the first difference."""

    facts: int
    records: int
    difference: Difference | None = None


def wording(difference: Difference) -> str:
    """Return what a difference is, in one line."""
    seq, kind, what = difference
    return f"the audit is not what the journal says: from fact {seq} on, a record is {kind} ({what})"


class CannotCompare(ValueError):
    """There is nothing to compare; the message says why, in one line."""


def compare(
    data_dir: Path,
    pages: Pages,
    on_facts: Callable[[int], None] = lambda seq: None,
    unrecorded: Retention | None = None,
    clock: Callable[[], float] = time.time,
) -> Compared:
    """Compare what `pages` has with the journal of a data directory, which may be in use; `unrecorded` is the
    retention where the journal does not say it.

    Raises OSError, sqlite3.Error or JournalError where the journal cannot be read.
    """
    if not (data_dir / JOURNAL_FILE).is_file():
        raise CannotCompare(f"{data_dir} does not contain a journal")
    with contextlib.closing(FactReader(data_dir)) as reader:
        for _ in range(TRIES_MAX):
            run = _Run(reader, pages, on_facts, Removals(unrecorded), clock)
            found = run.compare()
            if found.difference is None or not run.has_erased_meanwhile():
                return found
    raise CannotCompare("facts are being erased: compare again later")


class _Run:
    """One comparison from the first fact on."""

    def __init__(
        self,
        reader: FactReader,
        pages: Pages,
        on_facts: Callable[[int], None],
        removals: Removals,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._pages = pages
        self._on_facts = on_facts
        self._removals = removals
        self._clock = clock
        self._head = 0
        self._through = 0

    def compare(self) -> Compared:
        page = self._pages(0, 0)
        comparison = AuditComparison(self._may_be_gone, dict(self._erased_after(page.ingested)))
        try:
            comparison.take((), page)
            while self._through < page.ingested:
                facts = self._read(self._through, page.ingested)
                if not facts:
                    ends = f"the journal ends at {self._through}"
                    what = f"the history has facts up to {page.ingested}, and {ends}"
                    raise Differs(self._through + 1, "added", what)
                page = self._pages(self._through, facts[-1].seq)
                self._through = facts[-1].seq
                comparison.take(facts, page)
                self._on_facts(self._through)
            comparison.finish()
        except Differs as differs:
            return Compared(self._through, comparison.records, differs.difference)
        return Compared(self._through, comparison.records)

    def _may_be_gone(self, record: AuditRecord) -> bool:
        """Say whether retention may have removed it. The journal is read for that only where a record is
        gone, and further where what was read does not explain it."""
        removals, now = self._removals, self._clock()
        if removals.through < record.last_seq or not removals.include(record.at, record.last_seq, now):
            while facts := self._read(removals.through, EVERY):
                removals.take(facts)
                self._on_facts(self._through)
        return removals.include(record.at, record.last_seq, now)

    def has_erased_meanwhile(self) -> bool:
        """Say whether facts were erased since it began."""
        return any(True for _ in self._erased_after(self._head))

    def _erased_after(self, seq: int) -> Iterator[tuple[int, int]]:
        """Yield facts that were erased by those after a seq, each with the one that says so."""
        while facts := self._read(seq, EVERY):
            for fact in facts:
                if isinstance(fact.event, FactsErased):
                    yield from ((lost, fact.seq) for lost in fact.event.seqs)
            seq = facts[-1].seq
        self._head = max(self._head, seq)

    def _read(self, after: int, through: int) -> Sequence[Fact]:
        return self._reader.read(after, through, FACTS_PER_PAGE, BYTES_PER_PAGE)


# ------------------------------------------------------------------------------------------ a stopped server


def compare_stopped(
    data_dir: Path,
    on_facts: Callable[[int], None] = lambda seq: None,
    unrecorded: Retention | None = None,
    clock: Callable[[], float] = time.time,
    path: Path | None = None,
) -> Compared:
    """Compare the history of a data directory, or another file, that no server uses. Raises CannotCompare,
    and what `compare` raises."""
    path = path or data_dir / HISTORY_FILE
    if not path.is_file():
        raise CannotCompare(f"{path} does not exist: the next start builds it from the journal")
    try:
        with reading_only(path) as con:
            return compare(data_dir, lambda a, b: page_of(page_text(con, a, b)), on_facts, unrecorded, clock)
    except HistoryClosed as error:
        raise CannotCompare(str(error)) from None
