"""Folds the journal into the DuckDB history, answers from it, and archives finished tasks.

The history's file stores facts and cursor in one transaction, and tasks leave memory only up to that cursor.
If the file is deleted, a restart rebuilds it from the journal.

DuckDB is imported when the file is opened, not by this module: Ray loads an actor's class in every process
that looks up the actor, and those do not need its 13 MiB.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import ray

from actors.archive import Archive, Completed
from actors.attempt_log import has_items, has_log, read_piece, read_yielded
from actors.chain_check import AuditSide, ChainCheck
from actors.gateway import RayControlPlane
from actors.life import LivingActor, Work, reason_of
from actors.pruner import Pruner
from helix_ray.checkpoints import CheckpointFailed, newest
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.host_points import Span
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import (
    ArchiveTasks,
    NoteComparison,
    NoteJournalCheck,
    NoteRetention,
    Order,
    OrderBody,
    Recalled,
    Receipt,
)
from helix_ray.core.orders.kind import Detail
from helix_ray.core.posture import AuditCheck, Findings, JournalCheck
from helix_ray.core.proof_questions import (
    ListCheckpoints,
    NewestCheckpoint,
    ProofQuestion,
    ProveConsistency,
    ProveInclusion,
)
from helix_ray.core.questions import Counts
from helix_ray.core.views.monitoring import SeriesView
from helix_ray.core.views.tasks import ItemsView, LogView
from helix_ray.derived import set_aside
from helix_ray.followers.feed import BatchLimits, HeadFeed, PlaneFeed
from helix_ray.followers.following import Following
from helix_ray.followers.gathering import GatheringPauses, Pauses
from helix_ray.home import HISTORY_FILE
from helix_ray.journal.fact_reader import FactReader
from helix_ray.journal.proving import prove_stored
from helix_ray.journal.room import DiskRoom
from helix_ray.monitoring.history import FOLDER as HOSTS
from helix_ray.monitoring.history import read_hosts
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.ports import Batch
from helix_ray.tracing.configured import configured_exporter
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

NICENESS = 5
# A transaction costs as much as three thousand facts in it.
FACTS_PER_INGEST_MAX = 16_000
# Between batches, facts gather: the history may lag, and small batches are the most expensive. While 3,000
# tasks a second end, it yields the processors to them for up to this much longer.
PAUSES = Pauses(quiet_s=0.5, busy_s=2.0, busy_facts=5_000)
# Tidying asks the master: not after each batch that somebody waited for.
TIDY_EVERY_S = PAUSES.quiet_s / 2
# Queries wait while a file that is open for reading only is opened again.
REOPEN_EVERY_S = 3.0
ARCHIVE_TASKS_PER_ORDER = 5000
# The maximum of finished tasks in the master's memory, however young they are.
FINISHED_TASKS_MAX = 100_000
# Less than the callers' patience, see AnswerTimeouts in helix_ray/plane/calls.py.
FIRST_TRY_S_MAX = 3.0

if TYPE_CHECKING:
    from helix_ray.tracing.following import TaskTraces

T = TypeVar("T")


class Historian(LivingActor):
    """Owns the history file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log_dir = settings.data_dir / "logs"
        self._room = DiskRoom(settings.data_dir, settings.disk_reserve_bytes)
        super().__init__()
        # It may lag: the facts that it reads are on disk already.
        os.nice(max(0, NICENESS - os.nice(0)))

    async def opening(self) -> None:
        """Open the file; a damaged one is set aside and rebuilt from the journal."""
        from helix_ray.views.history import History

        self._tidy_at = 0.0
        self._noted_retention = False
        self._path = self._settings.data_dir / HISTORY_FILE
        self._history = await asyncio.to_thread(History, self._path)
        if self.hindrance() is not None:
            log.error("the history: %s", self.hindrance())
        self._plane = RayControlPlane(process="historian")
        self._gathering = GatheringPauses(PAUSES)
        self._followed = threading.Event()
        self._check = self._journal_check()
        self._archive = Archive(self._history, self._plane, self._on_file, self._see, self._gathering.hurry)
        self._pruner = Pruner(self._history, self._plane, self._settings, self._on_file)
        feed = HeadFeed(PlaneFeed(self._plane), FactReader(self._settings.data_dir))
        self._following = Following("history", self, feed, BatchLimits(FACTS_PER_INGEST_MAX))
        self._plane.report_lag(self._following.lag)
        self._traces = self._task_traces()

    def _task_traces(self) -> TaskTraces | None:
        """Export the spans of tasks, where a collector is configured."""
        exporter = configured_exporter(self._settings, "historian")
        if exporter is None:
            return None
        from helix_ray.tracing.following import TaskTraces

        self._plane.report_traces(exporter.figures)
        return TaskTraces(exporter)

    def hindrance(self) -> str | None:
        """Return why the history takes in nothing; None when it does."""
        why = self._history.unwritable
        return None if why is None else f"it is open for reading only: {reason_of(why)}"

    def loops(self) -> Sequence[Work]:
        """Follow the journal, check all of it at the start and each day, and compare the audit with it."""
        return (self._follow, self._check_all)

    def _journal_check(self) -> ChainCheck:
        settings = self._settings
        side = AuditSide(self._history.audit_page, self._followed, self._note_found)
        return ChainCheck(settings.data_dir, settings.journal_check_every_s, side)

    async def _check_all(self) -> None:
        await self._check.run()

    async def _note_found(self, found: JournalCheck | AuditCheck) -> None:
        body: OrderBody = (
            NoteJournalCheck(found.facts, found.damage or "")
            if isinstance(found, JournalCheck)
            else NoteComparison(found.facts, found.place, found.difference)
        )
        answer = await self._plane.execute(Order(body, SYSTEM, "req-historian", new_seed()))
        if isinstance(answer, Rejected):
            raise Refused(answer)

    async def stop(self) -> None:
        """Stop following the journal and close the file."""
        lived = self._life.lives
        self._life.stop()
        if lived:
            self._history.close()
            if self._traces is not None:
                await self._traces.close()

    async def complete(
        self, question: Completed, by: Principal, reply: Any
    ) -> Mapping[str, object] | SourceUnavailable | None:
        """Return what the history adds to the master's reply (helix_ray/core/answers/archived.py)."""
        return await self._away() or await self._archive.complete(question, by, reply)

    async def recall(
        self, task_ids: tuple[str, ...], causes: tuple[str, ...], detail: Detail
    ) -> Recalled | SourceUnavailable:
        """Return archived tasks as records, which orders about them contain (helix_ray/plane/history.py)."""
        return await self._away() or await self._archive.recall(task_ids, causes, detail)

    def _see(self, findings: Findings) -> Findings:
        """Add what is in force on this machine: on the head, where the keys are."""
        from helix_ray.monitoring.in_force import look

        seen = look(findings, self._settings, os.environ, ray.util.get_node_ip_address())
        checked, compared = self._check.known()
        return replace(seen, journal=checked, audit=compared)

    async def prove(self, question: ProofQuestion) -> Mapping[str, object] | SourceUnavailable:
        """Return the newest checkpoint or a proof, from the data directory, or checkpoints so far."""
        if isinstance(question, ListCheckpoints):
            if (away := await self._away()) is not None:
                return away
            return await self._on_file(self._history.checkpoints, question)
        try:
            return await asyncio.to_thread(_proof, self._settings.data_dir, question)
        except CheckpointFailed:
            return SourceUnavailable("history", "it has no checkpoint yet, and gets one within a second")

    async def read_hosts(self, hostnames: Sequence[str], span: Span) -> list[SeriesView]:
        """Return the history of hosts, from the data directory."""
        return await asyncio.to_thread(read_hosts, self._settings.data_dir / HOSTS, hostnames, span)

    async def _away(self) -> SourceUnavailable | None:
        refusal = await self._life.not_ready(FIRST_TRY_S_MAX)
        return (
            None
            if refusal is None
            else SourceUnavailable("history", refusal.reason or "it is still starting")
        )

    async def read_log(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, raw: bool
    ) -> LogView | None:
        """Return a piece of a log left by a former node of this machine; None where there is none."""
        if not has_log(self._log_dir, task_id, attempt):
            return None
        read = partial(read_piece, self._log_dir, task_id, attempt, offset, limit_bytes, raw, over=True)
        return await asyncio.to_thread(read)

    async def read_items(self, task_id: str, attempt: int, offset: int, limit_bytes: int) -> ItemsView | None:
        """Return a piece of what was yielded on a former node of this machine; None where there is none."""
        if not has_items(self._log_dir, task_id, attempt):
            return None
        read = partial(read_yielded, self._log_dir, task_id, attempt, offset, limit_bytes, over=True)
        return await asyncio.to_thread(read)

    async def _on_file(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call the history on a thread; a damaged file is set aside, and the restarted actor rebuilds it. One
        that only has to be opened again is, and then the call is made again."""
        import duckdb

        from helix_ray.views.file import is_given_up, says_damaged

        try:
            return await asyncio.to_thread(call, *arguments)
        except duckdb.Error as error:
            if says_damaged(error):
                self._end(error)
            if not is_given_up(error):
                raise
            log.warning("opening the history again: %s", reason_of(error))
        await asyncio.to_thread(self._history.open_again)
        return await asyncio.to_thread(call, *arguments)

    def _end(self, why: object) -> NoReturn:
        try:
            set_aside(self._path, why)
        finally:
            log.critical("the historian is restarting")
            logging.shutdown()
            os._exit(70)

    async def _follow(self) -> None:
        if not await self._is_writable() or not await self._has_noted_retention():
            return
        at_head = await self._following.step()
        # It may have waited for seconds.
        if self._room.look() is not None:
            return
        await self._pruner.step(at_head)
        if at_head:
            self._followed.set()
            owed = time.monotonic() < self._tidy_at
            if not owed:
                await self._tidy()
            hurried = await self._gathering.pause()
            if owed and not hurried:
                await self._tidy()

    async def _is_writable(self) -> bool:
        """Say whether the history can be written, after a pause where it cannot."""
        if self._room.look() is not None:
            # The history may lag; a failed write on a full disk would cost it more.
            await asyncio.sleep(PAUSES.quiet_s)
            return False
        if self._history.unwritable is None:
            return True
        await self._on_file(self._history.open_again)
        if self.hindrance() is None:
            log.info("the history is open for writing again")
            return True
        await asyncio.sleep(REOPEN_EVERY_S)
        return False

    async def _has_noted_retention(self) -> bool:
        """Record how long records of the audit stay, before the first is taken in or removed; say whether it
        is recorded, after a pause where it is not."""
        if not self._noted_retention:
            settings = self._settings
            body = NoteRetention(
                settings.audit_keep_s, settings.keeps_audit_until_exported(), self._history.through == 0
            )
            answer = await self._plane.execute(Order(body, SYSTEM, "req-historian", new_seed()))
            self._noted_retention = not isinstance(answer, Rejected)
            if not self._noted_retention:
                await asyncio.sleep(PAUSES.quiet_s)
        return self._noted_retention

    async def _tidy(self) -> None:
        """Let go of what was erased, and have finished tasks leave memory."""
        if self._history.has_erased:
            await self._on_file(self._history.write_anew)
        await self._archive_finished()
        self._tidy_at = time.monotonic() + TIDY_EVERY_S

    @property
    def cursor(self) -> int:
        """The seq after which the history wants facts: followers.following.Consumer."""
        return self._history.cursor

    async def take(self, batch: Batch) -> None:
        """Take facts into the tables; the cursor is in the same transaction."""
        await self._on_file(self._history.ingest, batch.facts)
        self._pruner.took(batch.facts)
        self._archive.grown()
        self._gathering.took(len(batch.facts))
        if self._traces is not None:
            self._traces.take(batch.facts)

    async def beyond(self, head: int) -> None:
        """Make the history again from the journal that is there."""
        self._end(f"it has facts up to {self._history.cursor}, and the journal ends at {head}")

    async def _archive_finished(self) -> None:
        """Archive tasks that finished long enough ago, and the oldest where there are too many."""
        now = time.time()
        while (
            await self._archive_some(now - self._settings.retention_s, ARCHIVE_TASKS_PER_ORDER)
            == ARCHIVE_TASKS_PER_ORDER
        ):
            pass
        counts = await self._plane.query(Counts(), SYSTEM)
        if isinstance(counts, Rejected):
            return
        excess = sum(counts["tasks"][status] for status in TERMINAL) - FINISHED_TASKS_MAX
        while excess > 0:
            archived = await self._archive_some(now, min(excess, ARCHIVE_TASKS_PER_ORDER))
            if not archived:
                return
            excess -= archived

    async def _archive_some(self, finished_before: float, limit: int) -> int:
        order = ArchiveTasks(self._history.cursor, finished_before, limit)
        answer = await self._plane.execute(Order(order, SYSTEM, "req-historian", new_seed()))
        return answer.data["archived"] if isinstance(answer, Receipt) else 0


def _proof(
    data_dir: Path, question: NewestCheckpoint | ProveInclusion | ProveConsistency
) -> Mapping[str, object]:
    if isinstance(question, NewestCheckpoint):
        return {"note": newest(data_dir)}
    return prove_stored(data_dir, question)
