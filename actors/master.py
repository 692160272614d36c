"""The master: a Ray actor around the engine. It is the only process that writes the journal.

Calls put orders into an inbox. One loop takes waiting orders up to the limits of a commit
(actors/commits.py), and the engine carries them out in one commit, so group commit happens by itself while
the disk is busy. After each commit (and at least every TICK_S) the followers react, their orders go through
the same engine, and callers that wait for news are woken.

Nothing blocks the loop for long: commits and reactions are limited, long answers are made in steps, a child
process makes snapshots, and the turn meter reports what took longest.

When an append fails the process ends: Ray restarts it, and it folds what is on disk. A journal
that cannot be opened at the moment is tried again (actors/life.py). A damaged journal is never
repaired: that is a fatal reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import ray

from actors.clock import SystemClock
from actors.collector import leave_out_of_collections, without_collector
from actors.commits import Commits
from actors.eraser import Eraser
from actors.host_keeper import keep_hosts
from actors.keeping import Keeping
from actors.life import Fatal, LivingActor, Work
from actors.local_server import LocalServer
from actors.master_figures import with_processes
from actors.sealer import Sealer
from actors.signer import Signer
from actors.snapshotter import Snapshotter
from actors.turn_meter import TurnMeter
from actors.waiting import words_of_folding
from helix_ray.config import Settings
from helix_ray.core.access import Principal
from helix_ray.core.answers import has_news
from helix_ray.core.codec import UnknownKind
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import AnyOrder, AnyReceipt
from helix_ray.core.questions import Metrics, QuestionKind, View, WaitTasks
from helix_ray.core.turns import TurnReports
from helix_ray.core.views.figures import LoopReport, MetricsView
from helix_ray.engine import Engine, JournalFailed
from helix_ray.followers.in_master import in_master
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.sqlite import FILE_NAME as JOURNAL_FILE
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.plane.batching import Asking
from helix_ray.plane.links import MasterInfo
from helix_ray.plane.read_board import BoardWriter
from helix_ray.ports import Batch, NotReady
from helix_ray.security.keys import HEAD_KEY_FILE, KeyFileUnsafe, load_or_create_key
from helix_ray.security.vault import load_vault

log = logging.getLogger(__name__)

# Callers resend orders that a master did not accept because it was still folding.
FIRST_TRY_S_MAX = 10.0
TICK_S = 0.1
HEAD_EVERY_S = 1.0
REOPEN_EVERY_S = 1.0
# How long the questions of a batch are answered before other work may run.
ANSWER_S = 0.005
# How many short questions are answered in the turn in which they arrive.
SHORT_QUESTIONS_MAX = 100
# A wait for many tasks is checked less often: a thousand tasks take a millisecond.
PAUSE_S_PER_TASK = 0.00001
# The maximum of facts in an answer, whatever the caller's limit.
EVENTS_MAX = 5000
WAIT_S_MAX = 30.0

T = TypeVar("T")


class Master(LivingActor):
    """Owns the journal, the state and the followers that need both."""

    def __init__(self, settings: Settings, *, first: bool = True) -> None:
        """`first` allows creating the journal; a restarted master must find it."""
        self._settings = settings
        self._first = first
        self._keeping = Keeping(settings.data_dir, settings.disk_reserve_bytes)
        self._meter = TurnMeter("master")
        self._turn_reports = TurnReports()
        self._signer = Signer(settings.data_dir, settings.audit_checkpoint_every_s, self.execute_batch)
        self._board: BoardWriter | None = None
        # One long answer at a time: a second one would only delay both.
        self._long_answer = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._news = asyncio.Event()
        calls = (self.execute_batch, self.query, self.query_batch, self.events, self.take_turns)
        self._local = LocalServer(
            {call.__name__: call for call in calls}, {"query_batch": self._short_answers}
        )
        super().__init__()

    async def opening(self) -> None:
        """Open and fold the journal on a thread, so that health checks are answered meanwhile."""
        self._meter.start()
        try:
            await asyncio.to_thread(self._open)
        except (JournalDamaged, JournalTooNew, KeyFileUnsafe, UnknownKind) as error:
            raise Fatal(f"{type(error).__name__}: {error}") from error

    def _open(self) -> None:
        settings = self._settings
        if not self._first or ray.get_runtime_context().was_current_actor_reconstructed:
            # A volume that is not mounted looks like a first start, and an empty journal would be served.
            (settings.data_dir / JOURNAL_FILE).stat()
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Create the tokens' key, or refuse one that others can read, before anything is served.
        load_or_create_key(settings.data_dir)
        head_key = load_or_create_key(settings.data_dir, HEAD_KEY_FILE)
        vault = load_vault(settings.data_dir)
        journal = self._keeping.open(head_key.secrets[head_key.current])
        try:
            policy = settings.policy()
            self._engine = engine = Engine(journal, policy, SystemClock(), self._keeping.no_room, vault)
            folded = without_collector(engine.recover)
        except BaseException:
            journal.close()
            raise
        log.info("epoch %d: folded %d facts up to %d", journal.epoch, folded, engine.state.seq)
        engine.board = self._board = _board_of(settings.data_dir)
        self._commits = Commits(engine, in_master(policy, engine.state.at), self._meter.turns.ran)
        self._woken = engine.state.seq

    def loops(self) -> Sequence[Work]:
        """The loops that commit orders, keep HEAD, snapshots, segments and hosts, and reopen the journal."""
        works = (
            self._commit_loop, self._head_loop, self._keep_loop, self._seal_loop, self._reopen_loop,
            partial(keep_hosts, lambda: self._engine, self._settings.data_dir),
        )  # fmt: skip
        return tuple(partial(self._or_end, work) for work in works)

    def progress(self) -> str | None:
        """Return how many facts are folded."""
        folding: Engine | None = getattr(self, "_engine", None)
        return None if folding is None else words_of_folding(folding.state.seq)

    def hindrance(self) -> str | None:
        """Return why nothing can be recorded; None when everything can."""
        found = self._keeping.hindrance()
        return None if found is None else str(found)

    # ------------------------------------------------------------------------------------------ calls

    async def execute_batch(self, orders: Sequence[AnyOrder]) -> list[AnyReceipt | Rejected] | NotReady:
        """Carry out orders; their answers come in order, when all of them are durable."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        future: asyncio.Future[list[AnyReceipt | Rejected]] = asyncio.get_running_loop().create_future()
        self._commits.put(orders, future)
        self._arrived.set()
        return await future

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected | NotReady:
        """Answer a question, waiting for news up to `wait_s` seconds if the question allows it."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        return await self._answer(question, by, wait_s)

    async def _answer(self, question: QuestionKind[View], by: Principal, wait_s: float) -> View | Rejected:
        if isinstance(question, Metrics):
            return cast("View | Rejected", self._metrics(question, by))
        if question.in_steps:
            return await self._in_steps(question, by)
        if question.one_at_a_time:
            async with self._long_answer:
                await asyncio.sleep(0)
                while self._engine.look_on():
                    await asyncio.sleep(0)
                self._meter.turns.ran(type(question).__name__)
                return self._engine.query(question, by)
        self._meter.turns.ran(type(question).__name__)
        ask = partial(self._engine.query, question, by)
        many = len(question.task_ids) if isinstance(question, WaitTasks) else 0
        pause_s = many * PAUSE_S_PER_TASK or question.rest_s
        return await self._until(ask, partial(has_news, question), wait_s, pause_s)

    async def query_batch(self, questions: Sequence[Asking]) -> tuple[int, list[Any]] | NotReady:
        """Answer questions that do not wait; also returns the seq that the answers are as of."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        # Read the seq first: every answer is at least as new.
        seq, clock = self._engine.state.seq, self._engine.clock
        answers: list[Any] = []
        began = clock.monotonic()
        for question, by in questions:
            answers.append(await self._answer(question, by, 0.0))
            if clock.monotonic() - began > ANSWER_S:
                await asyncio.sleep(0)
                began = clock.monotonic()
        return seq, answers

    def _short_answers(self, questions: Sequence[Asking]) -> tuple[int, list[Any]] | None:
        """Answer a few questions that take microseconds, as query_batch does; None for all others."""
        if not self._life.lives or len(questions) > SHORT_QUESTIONS_MAX:
            return None
        if not all(question.short for question, _ in questions):
            return None
        seq = self._engine.state.seq
        for question, _ in questions:
            self._meter.turns.ran(type(question).__name__)
        return seq, [self._engine.query(question, by) for question, by in questions]

    async def take_turns(self, kind: str, process: str, report: LoopReport) -> None:
        """Take a process's report about the turns of its event loop."""
        self._turn_reports.take(kind, process, report, time.monotonic())

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, abouts: bool = False
    ) -> Batch | Rejected | NotReady:
        """Return the facts after a cursor that `by` may see, waiting up to `wait_s` seconds for some; with
        what each is about, if that is asked."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        ask = partial(self._engine.events, after, min(limit, EVENTS_MAX), by, abouts)
        return await self._until(ask, partial(_moved, after), wait_s)

    async def info(self) -> MasterInfo:
        """Return the process id, the epoch, the journal's seq, and the socket for callers on this host. While
        it does not run, epoch and seq are None and calls over the socket are answered with the reason."""
        try:
            path = await self._local.listen()
        except OSError as error:
            # Callers on this host then call through Ray, as others do.
            log.warning("no Unix socket for callers on this host: %s", error)
            path = ""
        lives = self._life.lives
        return {
            "pid": os.getpid(),
            "epoch": self._keeping.journal.epoch if lives else None,
            "seq": self._engine.state.seq if lives else None,
            "socket": path,
            "board": self._board.path if lives and self._board is not None else None,
        }

    async def stop(self) -> None:
        """Save a snapshot and close the journal; the actor cannot be used afterwards."""
        lived = self._life.lives
        self._life.stop()
        self._meter.close()
        self._local.close()
        if lived:
            with contextlib.suppress(OSError, sqlite3.Error, JournalFailed):
                self._engine.end()
                self._engine.save_snapshot()
                self._signer.sign_newest(self._journal())
            self._keeping.journal.close()

    # ------------------------------------------------------------------------------------------ loops

    async def _or_end(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException:
            # Memory may be ahead of the disk: exit at once, without any cleanup that could write.
            log.critical("the master exits and will be restarted", exc_info=True)
            logging.shutdown()
            os._exit(70)

    async def _commit_loop(self) -> None:
        ticker = asyncio.get_running_loop().create_task(self._tick())
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                self._commits.commit()
                # Answers are sent before HEAD claims their facts and the followers react to them.
                await asyncio.sleep(0)
                self._journal().note_head()
                # On a full disk the followers' orders would be refused. They see all facts later.
                if (self._keeping.hindrance() is None and self._commits.react()) or self._commits:
                    self._arrived.set()
                self._journal().note_head()
                if not self._arrived.is_set():
                    self._engine.publish()
                self._wake()
                await asyncio.sleep(0)
        finally:
            ticker.cancel()

    async def _tick(self) -> None:
        """Wake the followers for the time when no orders arrive."""
        while True:
            await asyncio.sleep(TICK_S)
            self._arrived.set()

    def _wake(self) -> None:
        if self._engine.state.seq != self._woken:
            self._woken = self._engine.state.seq
            self._news.set()
            self._news = asyncio.Event()

    async def _head_loop(self) -> None:
        while True:
            await asyncio.sleep(HEAD_EVERY_S)
            self._keeping.mark_head()
            # At most once in HEAD_EVERY_S, and never by a commit.
            if self._keeping.hindrance() is None:
                await self._signer.sign(self._journal(), self._commits.acted)
            leave_out_of_collections()

    async def _keep_loop(self) -> None:
        """Keep snapshots, and carry out erasures, which take one."""
        snapshotter = Snapshotter(self._engine, self._journal)
        eraser = Eraser(self._engine, self._journal, self._settings.data_dir, snapshotter, self._arrived.set)
        while True:
            await asyncio.sleep(HEAD_EVERY_S)
            if self._keeping.hindrance() is None:
                await snapshotter.keep_if_due()
                await eraser.carry_out_due()

    def _journal(self) -> SqliteJournal:
        return self._keeping.journal

    async def _seal_loop(self) -> None:
        settings = self._settings
        sealer = Sealer(self._journal, settings.journal_keep_s, settings.journal_keep_bytes)
        while True:
            await asyncio.sleep(HEAD_EVERY_S)
            if self._keeping.hindrance() is None:
                await sealer.move_if_due()

    async def _reopen_loop(self) -> None:
        while True:
            await asyncio.sleep(REOPEN_EVERY_S)
            journal = await asyncio.to_thread(self._keeping.reopened)
            if journal is not None:
                self._keeping.take(journal, self._engine)

    async def _until(
        self, ask: Callable[[], T], good: Callable[[T], bool], wait_s: float, pause_s: float = 0.0
    ) -> T:
        """Repeat a question after news, but at most every `pause_s`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(wait_s, WAIT_S_MAX)
        while True:
            news = self._news
            reply = ask()
            left = end - loop.time()
            if left <= 0 or good(reply):
                return reply
            # asyncio.wait_for would make a task of each wait, and every commit wakes them all.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await news.wait()
            if pause_s:
                await asyncio.sleep(min(pause_s, left))

    async def _in_steps(self, question: QuestionKind[View], by: Principal) -> View | Rejected:
        """Answer a question that may scan all tasks, in steps with other work in between."""
        async with self._long_answer:
            steps = self._engine.steps(question, by)
            while True:
                self._meter.turns.ran(type(question).__name__)
                try:
                    next(steps)
                except StopIteration as done:
                    return cast("View | Rejected", done.value)
                await asyncio.sleep(0)

    def _metrics(self, question: Metrics, by: Principal) -> MetricsView | Rejected:
        now = self._engine.clock.monotonic()
        self._turn_reports.take(self._meter.kind, "", self._meter.report(), now)
        reply = self._engine.query(question, by)
        if isinstance(reply, Rejected):
            return reply
        return with_processes(reply, self._turn_reports, self._commits, self._keeping.figures(), now)


def _board_of(data_dir: Path) -> BoardWriter | None:
    """Return the read board for replicas; without one, on a read-only disk, each read asks the master."""
    try:
        return BoardWriter(data_dir)
    except OSError as error:
        log.warning("replicas cannot cache reads: %s", error)
        return None


def _moved(after: int, batch: Batch | Rejected) -> bool:
    """Say whether an answer is news for a caller whose cursor is `after`."""
    return isinstance(batch, Rejected) or batch.cursor > after
