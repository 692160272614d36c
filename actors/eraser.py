"""Carries out administrators' erasure requests (core/decide/erasures.py) while the master serves.

    1. snapshot   save one that covers the request: the named objects have left the state, so no start folds
                  the facts to erase
    2. find       read all facts in order, some at a time, on a thread
    3. erase      remove the files of large results, and erase some facts in each commit; segments are
                  rewritten on a thread (journal/erasing.py)
    4. cut        truncate the WAL, so that it has no erased bytes
    5. complete   record that the request was carried out

A kill at any step leaves the request pending: the restarted master begins again and finds what is left. The
history folds FactsErased (views/history.py), and nodes remove logs and results (actors/erased_here.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from actors.snapshotter import Snapshotter
from helix_ray.blobs.places import HEAD_FOLDER
from helix_ray.blobs.store import BlobStore
from helix_ray.core.access import SYSTEM
from helix_ray.core.erasure import REFUSALS, Concerned, is_in_use
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.events import Fact, FactsErased, subject_of
from helix_ray.core.orders import CompleteErasure, Order
from helix_ray.core.result_files import file_of_result
from helix_ray.engine import Engine
from helix_ray.journal.erasing import copies_beside
from helix_ray.journal.errors import EraseRefused, JournalDamaged
from helix_ray.journal.layout import connect
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.journal.tree import StoredTree
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

FACTS_PER_READ = 1_000
# One commit erases this many, which takes some ten milliseconds.
FACTS_PER_COMMIT = 500
# Lets other commits through between two steps.
PAUSE_S = 0.005
CUT_AGAIN_S = 0.2
# Delay before a failed erasure is tried again.
TRY_AGAIN_S = 30.0


class Eraser:
    """Carries out the erasures of one engine one at a time, oldest first."""

    def __init__(
        self, engine: Engine, journal: Callable[[], SqliteJournal], folder: Path, snapshotter: Snapshotter,
        moved: Callable[[], None],
    ) -> None:  # fmt: skip
        """`journal` returns the current journal, which may be reopened. `moved` is called after a commit."""
        self._engine = engine
        self._journal = journal
        self._path = folder / FILE_NAME
        self._snapshotter = snapshotter
        self._moved = moved
        self._not_before = 0.0
        self._files = BlobStore(folder / HEAD_FOLDER)

    async def carry_out_due(self) -> None:
        """Carry out all pending erasures; one that fails is logged and retried later."""
        while time.monotonic() >= self._not_before:
            pending = (e for e in self._engine.state.erasures.values() if e.completed_at is None)
            erasure = next(pending, None)
            if erasure is None:
                return
            try:
                await self._carry_out(erasure)
            except (OSError, sqlite3.Error, JournalDamaged, EraseRefused) as error:
                log.error("cannot carry out %s, retrying later: %s", erasure.id, error)
                self._not_before = time.monotonic() + TRY_AGAIN_S

    async def _carry_out(self, erasure: Erasure) -> None:
        if self._journal().snapshot_seq() < erasure.seq and not await self._snapshotter.keep():
            raise OSError("no snapshot could be made")
        concerned = Concerned(erasure.tasks, erasure.users)
        found = await self._find(erasure, concerned)
        kept = 0
        for start in range(0, len(found), FACTS_PER_COMMIT):
            kept += await self._erase(erasure, concerned, sorted(found[start : start + FACTS_PER_COMMIT]))
            await asyncio.sleep(PAUSE_S)
        while not await asyncio.to_thread(self._journal().cut_log):
            await asyncio.sleep(CUT_AGAIN_S)
        order = CompleteErasure(erasure.id, kept, tuple(copies_beside(self._path)))
        self._engine.execute([Order(order, SYSTEM, erasure.request_id, new_seed())])
        self._moved()
        log.info("%s: %d facts erased, %d kept", erasure.id, erasure.facts, kept)

    # ------------------------------------------------------------------------------------------ finding

    async def _find(self, erasure: Erasure, concerned: Concerned) -> Sequence[int]:
        """Return the seqs of all facts up to the request that concern its tasks and users: refusals first,
        while the names that they are found by can still be read, whatever becomes of this run."""
        refused, found = array("q"), array("q")
        with contextlib.closing(connect(self._path, "ro")) as con:
            tree = StoredTree(con)
            for after in self._reads(erasure.seq, self._engine.state.seq):
                facts = await asyncio.to_thread(tree.facts, after, FACTS_PER_READ)
                concerned.resume(facts, erasure.id)
                await asyncio.sleep(PAUSE_S)
            for after in self._reads(0, erasure.seq):
                facts = await asyncio.to_thread(tree.facts, after, min(FACTS_PER_READ, erasure.seq - after))
                for fact in filter(concerned.has, facts):
                    (refused if isinstance(fact.event, REFUSALS) else found).append(fact.seq)
                await asyncio.sleep(PAUSE_S)
        return refused + found

    def _reads(self, after: int, through: int) -> Iterator[int]:
        yield from range(after, through, FACTS_PER_READ)

    # ------------------------------------------------------------------------------------------ erasing

    async def _erase(self, erasure: Erasure, concerned: Concerned, seqs: Sequence[int]) -> int:
        """Erase facts in one commit; return how many are kept because their subject exists."""
        facts = await asyncio.to_thread(self._read, seqs)
        gone = self._gone(facts)
        if gone:
            await asyncio.to_thread(self._remove_files, gone)
            prepared = await asyncio.to_thread(self._journal().prepare_erasure, [fact.seq for fact in gone])
            # A task that was restored in the meantime keeps its facts: the next try finds it in use.
            if len(self._gone(gone)) < len(gone):
                raise EraseRefused("a task, user or worker to be erased was created again in the meantime")
            wanted = _event(erasure, gone, concerned)
            self._engine.erase(erasure, wanted, lambda fact: self._journal().commit_erasure(fact, prepared))
            self._moved()
        return len(facts) - len(gone)

    def _remove_files(self, facts: Sequence[Fact]) -> None:
        """Remove the files of large results. Raises OSError."""
        results = (getattr(fact.event, "result", None) for fact in facts)
        for file in filter(None, map(file_of_result, results)):
            self._files.delete(file["digest"])

    def _read(self, seqs: Sequence[int]) -> list[Fact]:
        with contextlib.closing(connect(self._path, "ro")) as con:
            tree = StoredTree(con)
            return [tree.facts(seq - 1, 1)[0] for seq in seqs]

    def _gone(self, facts: Sequence[Fact]) -> list[Fact]:
        return [fact for fact in facts if not is_in_use(self._engine.state, fact)]


def _event(erasure: Erasure, gone: Sequence[Fact], concerned: Concerned) -> FactsErased:
    subjects = dict.fromkeys(subject_of(fact.event) for fact in gone)
    things = [subject for subject in subjects if subject in concerned.things]
    return FactsErased(
        [fact.seq for fact in gone],
        erasure.reason,
        erasure.id,
        [thing for thing in things if thing in concerned.tasks],
        [thing for thing in things if thing not in concerned.tasks],
    )
