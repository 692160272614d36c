"""The history of finished tasks in a DuckDB file, folded from the journal and rebuilt from it when lost.

A call of `ingest` is one transaction with rows and position, so after a kill facts are read again without
doubling rows. The records of unfinished tasks are in memory. They are saved to the file every
RESUME_EVERY_FACTS, and the facts after that are read again at the start (`cursor` says from where).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import duckdb
import orjson

from helix_ray.core.events import Fact, TaskRestored
from helix_ray.core.questions import ListAudit, ListCheckpoints, ListTasks
from helix_ray.core.views.audit import AuditPageView
from helix_ray.core.views.events import NoticeTask
from helix_ray.core.views.proofs import CheckpointPageView
from helix_ray.core.views.security import SignInsView
from helix_ray.core.views.tasks import ResultView, TaskLineView, TaskView
from helix_ray.core.visibility import TaskScope
from helix_ray.views import audit, checkpoints, read
from helix_ray.views.attempts import Attempts
from helix_ray.views.audit_page import page_text
from helix_ray.views.audit_search import AuditSearch
from helix_ray.views.opened import OpenedFile
from helix_ray.views.pruning import PRUNE_TASKS_MAX, HistoryLimits, bytes_used, prune
from helix_ray.views.rewriting import write_anew
from helix_ray.views.write import Changes

RESUME_EVERY_FACTS = 50_000


class History:
    """One history file. One thread ingests; any thread may ask."""

    def __init__(self, path: Path) -> None:
        """Open the file or make it; an unreadable file is set aside and made again. While it cannot be
        written, it answers, and takes in nothing.

        Raises duckdb.IOException when another process uses it.
        """
        self._path = path
        self._file = OpenedFile(path)
        self._con = self._file.cursor()
        # Held by who uses `_con`: while the file is opened again, nobody may.
        self._writing = threading.RLock()
        self._search = AuditSearch()
        self._closed = False
        # Facts up to `ingested` are in the tables, those up to `resumed` in the file's copy of `attempts`,
        # and those up to `folded` in the one in memory.
        self._ingested = self._resumed = self._folded = 0
        self._attempts = Attempts()
        self._prune_tasks = PRUNE_TASKS_MAX
        self._resume()
        self._restored = self._ingested

    @property
    def restored_through(self) -> int:
        """The seq after which no task was restored from the tables to memory."""
        return self._restored

    @property
    def cursor(self) -> int:
        """The seq after which `ingest` needs facts, without a gap."""
        return self._folded

    @property
    def through(self) -> int:
        """The seq up to which the tables reflect the journal."""
        return self._ingested

    @property
    def unwritable(self) -> duckdb.Error | None:
        """Why the file is open for reading only; None where it is open for writing."""
        return self._file.unwritable

    def close(self) -> None:
        """Keep what is known of unfinished tasks and close the file; safe to call twice."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            if self._folded == self._ingested and self.unwritable is None:
                self._con.execute(
                    "UPDATE position SET resumed = ?, attempts = ?", [self._folded, self._dump()]
                )
            self._con.close()
            self._file.close()

    def open_again(self) -> None:
        """Open the file again, for writing where that is possible; queries wait meanwhile."""
        with self._apart():
            pass
        with self._writing:
            self._resume()

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Have the file closed within the block."""
        with self._writing:
            if self._closed:
                raise duckdb.ConnectionException("the history is closed")
            self._con.close()
            try:
                with self._file.closed():
                    yield
            finally:
                with suppress(duckdb.ConnectionException):
                    self._con = self._file.cursor()

    # ------------------------------------------------------------------------------------------ following

    def ingest(self, facts: Sequence[Fact]) -> None:
        """Ingest facts in one transaction. Those up to the cursor are skipped;
        raises ValueError for a gap."""
        with self._writing:
            fresh = [fact for fact in facts if fact.seq > self._folded]
            if not fresh:
                return
            if fresh[0].seq != self._folded + 1:
                raise ValueError(f"fact {fresh[0].seq} does not follow {self._folded}")
            if self.unwritable is not None:
                raise OSError(str(self.unwritable))
            try:
                self._take(fresh)
            except BaseException:
                # The entries in memory may be ahead of the file.
                self._resume()
                raise

    def _take(self, facts: Sequence[Fact]) -> None:
        changes = Changes()
        for fact in facts:
            ended = self._attempts.fold(fact)
            # The tables have facts up to here: only the entries in memory lack them.
            if fact.seq > self._ingested:
                changes.note(fact, ended)
                if isinstance(fact.event, TaskRestored):
                    self._restored = fact.seq
        last = facts[-1].seq
        if last > self._ingested:
            self._write(changes, last)
        self._folded = last

    @property
    def has_erased(self) -> bool:
        """Say whether the file still has rows of facts that were erased, and must be written anew."""
        return bool(self._con.execute("SELECT count(*) FROM erased").fetchall()[0][0])

    def write_anew(self) -> None:
        """Rewrite the file without deleted rows; queries wait meanwhile."""
        with self._apart():
            write_anew(self._path)

    def _write(self, changes: Changes, last: int) -> None:
        keep = last - self._resumed >= RESUME_EVERY_FACTS
        with self._transaction() as con:
            changes.write(con)
            con.execute("UPDATE position SET ingested = ?", [last])
            if keep:
                con.execute("UPDATE position SET resumed = ?, attempts = ?", [last, self._dump()])
            with self._search.removing() if changes.erased else nullcontext():
                con.execute("COMMIT")
        self._ingested = last
        self._resumed = last if keep else self._resumed

    def prune(self, limits: HistoryLimits, now: float, archived_through: int) -> bool:
        """Remove some of the oldest tasks if the history is over a limit (pruning.py); say whether to go on.

        For the thread that ingests.
        """
        with self._writing:
            try:
                # Removed rows use the file until then. Impossible while somebody reads: later, then.
                self._con.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
            with self._transaction() as con:
                before = min(now, limits.audit_now) - limits.audit_keep_s
                had_old_records = audit.prune(con, before, limits.audit_through)
                removed = prune(con, limits, now, archived_through, self._prune_tasks)
                with self._search.removing() if had_old_records else nullcontext():
                    con.execute("COMMIT")
        # Shards of a parent that stays may fill a step: look further then.
        self._prune_tasks = 2 * self._prune_tasks if removed == 0 else PRUNE_TASKS_MAX
        return removed is not None

    def has_old_records(self, limits: HistoryLimits, now: float) -> bool:
        """Say whether records of the audit are too old by a clock."""
        return audit.has_before(self._con, now - limits.audit_keep_s, limits.audit_through)

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Begin a transaction, which the block commits."""
        self._con.execute("BEGIN")
        try:
            yield self._con
        except BaseException:
            # A commit that failed has ended it.
            with suppress(duckdb.Error):
                self._con.execute("ROLLBACK")
            raise

    def bytes_used(self) -> int:
        """Return how much of the file is in use, as of the newest checkpoint."""
        with self._asking() as con:
            return bytes_used(con)

    def _dump(self) -> str:
        return orjson.dumps(self._attempts.dump()).decode()

    def _resume(self) -> None:
        # Fetch all rows: a half-read result keeps its transaction, and with it the WAL, open.
        rows = self._con.execute("SELECT ingested, resumed, attempts FROM position").fetchall()
        self._ingested, self._resumed, attempts = rows[0]
        self._folded = self._resumed
        self._attempts = Attempts.load(orjson.loads(attempts))

    # ------------------------------------------------------------------------------------------ asking

    def _asking(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._file.asking()

    def audit(self, question: ListAudit, until: int = 1 << 62) -> AuditPageView:
        """Return a page of the audit, of facts up to `until`."""
        with self._asking() as con:
            return self._search.page(con, question, min(self._ingested, until))

    def audit_page(self, after: int, through: int) -> bytes:
        """Return records as they are stored (audit_page.py)."""
        with self._asking() as con:
            return page_text(con, after, through)

    def checkpoints(self, question: ListCheckpoints) -> CheckpointPageView:
        """Return a page of signed checkpoints."""
        with self._asking() as con:
            return checkpoints.page(con, question)

    def sign_ins(self) -> SignInsView:
        """Count the sign-ins of the audit."""
        with self._asking() as con:
            return audit.sign_ins(con)

    def get_task(self, task_id: str, archived_through: int | None = None) -> TaskView | None:
        """Return a finished task as views.tasks.task_view does; None when there is none, or when it finished
        after `archived_through` (it is then still in memory)."""
        with self._asking() as con:
            return read.get_task(con, task_id, archived_through)

    def notice_tasks(self, task_ids: Sequence[str], archived_through: int) -> dict[str, NoticeTask]:
        """Return those of these tasks that finished up to `archived_through`, by id, for those who
        are told of their facts."""
        with self._asking() as con:
            return read.notice_tasks(con, task_ids, archived_through)

    def records(self, task_ids: Sequence[str], archived_through: int) -> dict[str, read.Record]:
        """Return those of the tasks that finished up to `archived_through`, in the form of memory, by id."""
        with self._asking() as con:
            return read.records(con, task_ids, archived_through)

    def lines(self, task_ids: Sequence[str], archived_through: int) -> dict[str, read.Record]:
        """Return those of these tasks that finished up to `archived_through`, by id,
        with what a listing shows."""
        with self._asking() as con:
            return read.lines(con, task_ids, archived_through)

    def failed_because_of(self, task_ids: Sequence[str], archived_through: int, limit: int) -> list[str]:
        """Return at most about `limit` tasks that failed because of one of these, directly
        or not, the nearest first."""
        with self._asking() as con:
            return read.failed_because_of(con, task_ids, archived_through, limit)

    def list(
        self,
        question: ListTasks,
        scope: TaskScope,
        archived_through: int,
        limit: int,
        without: Sequence[str] = (),
        seqs: tuple[int, int] | None = None,
    ) -> tuple[list[TaskLineView], int]:
        """Return up to `limit` tasks that finished up to `archived_through`, newest first by submit, as
        views.tasks.task_line does, and how many there are, of those in `scope`; `without` are left out, by
        id. `seqs` are the first and the last that may be among the lines. question.limit and
        question.offset are not looked at.
        """
        with self._asking() as con:
            return read.list_tasks(con, question, scope, archived_through, limit, without, seqs)

    def seqs(
        self,
        question: ListTasks,
        scope: TaskScope,
        archived_through: int,
        limit: int,
        without: Sequence[str] = (),
    ) -> tuple[int, ...]:
        """Return the seqs of the lines that `list` would return."""
        with self._asking() as con:
            return read.list_seqs(con, question, scope, archived_through, limit, without)

    def result(self, task_id: str, archived_through: int | None = None) -> ResultView | None:
        """Return a finished task's outcome as views.tasks.result_view does, or None."""
        return self.results((task_id,), archived_through).get(task_id)

    def results(
        self, task_ids: Sequence[str], archived_through: int | None = None, values: bool = True
    ) -> dict[str, ResultView]:
        """Return the outcomes of the finished ones of these tasks, by id; without `values` the results are
        None."""
        with self._asking() as con:
            return read.results(con, task_ids, archived_through, values)
