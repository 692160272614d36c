"""What the audit costs those who write and read: orders beside a journal without tree and signatures, and
GETs with and without a record of every read."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.history import LIVE_SPEC, PastClock
from benchmarks.load import one_by_one
from benchmarks.processes import Helix, helix, scratch
from benchmarks.report import Goal, Line, Report, Series, ratio_at_least
from benchmarks.scale import Scale
from helix_ray.checkpoints import CheckpointKeeper
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.codec import FIELDS, SUBJECT, VERSIONS, values_of
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Fact
from helix_ray.core.orders import Order, SubmitTasks
from helix_ray.engine import Engine
from helix_ray.journal.encoding import to_json
from helix_ray.journal.interned import Author, Kind
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.rows import Row, ShortRow, insert
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.wire.ids import new_seed

NAME = "audit_cost"
WRITES_SHARE = 0.95
# (orders in one commit, tasks of an order): alone, in a busy moment, and large.
SHAPES = ((1, 1), (64, 1), (1, 500))
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
KEPT_EVERY_S = 1.0


class Treeless(SqliteJournal):
    """The same file and commits, without salts, leaves, nodes, roots and HEAD."""

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Insert facts in one commit."""
        with self._transaction() as con:
            insert(con, list(self._rows(facts)))
        self._frontier = Frontier(self._frontier.size + len(facts))
        return [0] * len(facts)

    def _rows(self, facts: Sequence[Fact]) -> Iterator[Row | ShortRow]:
        said = None
        for fact in facts:
            event, name = fact.event, type(fact.event).__name__
            kind = self._words.number_of_kind(Kind(name, VERSIONS.get(name, 1), "ok"))
            subject = event.id if SUBJECT in FIELDS[name] else ""  # type: ignore[union-attr]
            values = values_of(name)(event)
            try:
                body = bytearray(orjson.dumps(values))
            except TypeError:
                body = bytearray(to_json(values))
            of = (fact.at, fact.actor, fact.request_id, fact.origin)
            if of == said:
                yield fact.seq, kind, subject, body
                continue
            said = of
            author = self._words.number_of_author(Author.of(self.epoch, fact.actor, fact.origin))
            yield fact.seq, kind, subject, body, fact.at, author, fact.request_id


class Spent(NamedTuple):
    """Wall time and CPU time."""

    wall_s: float
    cpu_s: float

    def more(self, other: Spent) -> Spent:
        """Return both together."""
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


class Writer:
    """An engine over a journal, which keeps HEAD and checkpoint as the master does."""

    def __init__(self, journal: SqliteJournal, folder: Path) -> None:
        self._journal = journal
        self._keeper = CheckpointKeeper(folder)
        self._engine = Engine(journal, Settings(data_dir=folder).policy(), PastClock())
        self._engine.recover()
        # What it has worked, and what of that was before HEAD and checkpoint were last kept.
        self._worked = Spent(0.0, 0.0)
        self._kept_s = 0.0

    def submit(self, orders: int, tasks_each: int) -> Spent:
        """Submit tasks in one commit; return what it took."""
        began = Spent(time.perf_counter(), time.process_time())
        body = SubmitTasks((LIVE_SPEC,) * tasks_each)
        answers = self._engine.execute([Order(body, SYSTEM, "req", new_seed()) for _ in range(orders)])
        if any(isinstance(answer, Rejected) for answer in answers):
            raise RuntimeError(f"an order was refused: {answers[0]}")
        if not isinstance(self._journal, Treeless) and self._worked.wall_s - self._kept_s >= KEPT_EVERY_S:
            self._journal.mark_head()
            self._keeper.keep_newest(self._journal)
            self._kept_s = self._worked.wall_s
        took = Spent(time.perf_counter() - began.wall_s, time.process_time() - began.cpu_s)
        self._worked = self._worked.more(took)
        return took


@contextmanager
def _writer(folder: Path, made: type[SqliteJournal]) -> Iterator[Writer]:
    folder.mkdir(mode=0o700)
    journal = made(folder, b"k" * 32)
    try:
        yield Writer(journal, folder)
    finally:
        journal.close()


def run(scale: Scale) -> Report:
    """Measure writes and reads, with and without, in turns."""
    notes = (
        "without: the same engine, file and commits; no salts, leaves, nodes, roots, HEAD and checkpoints",
        "every GET is of another task, and one reader's reads of a second become one record",
    )
    return Report(NAME, "what the audit costs", (*_writes(scale), _reads(scale)), notes)


def _writes(scale: Scale) -> list[Line]:
    lines: list[Line] = []
    with scratch() as folder:
        for orders, tasks_each in SHAPES:
            count = scale.audited_tasks if orders * tasks_each > 1 else scale.audited_tasks // 20
            count -= count % (orders * tasks_each)
            name = f"{orders}-{tasks_each}"
            with (
                _writer(folder / f"{name}-with", SqliteJournal) as ours,
                _writer(folder / f"{name}-without", Treeless) as bare,
            ):
                found = [
                    _in_turns(ours, bare, count // (orders * tasks_each), orders, tasks_each)
                    for _ in range(scale.rounds)
                ]
            what = f"{orders} orders a commit, {tasks_each} tasks an order"
            for place, unit in enumerate(("tasks/s", "tasks/s of CPU")):
                here, there = (tuple(count / each[which][place] for each in found) for which in (0, 1))
                mine, its = Series("", unit, here), Series("without tree and signatures", unit, there)
                lines.append(Line(what, mine, its, _goal(mine, its)))
    return lines


def _in_turns(ours: Writer, bare: Writer, commits: int, orders: int, tasks_each: int) -> tuple[Spent, Spent]:
    """Have both commit in turns, so that what else the machine does slows both; return what each took."""
    spent = {ours: Spent(0.0, 0.0), bare: Spent(0.0, 0.0)}
    for turn in range(commits):
        for writer in (ours, bare) if turn % 2 else (bare, ours):
            spent[writer] = spent[writer].more(writer.submit(orders, tasks_each))
    return spent[ours], spent[bare]


def _goal(ours: Series, anchor: Series) -> Goal:
    return ratio_at_least(WRITES_SHARE, "without", ours, anchor)


def _reads(scale: Scale) -> Line:
    with helix(audit_reads="all") as recorded, helix() as plain:
        both = (recorded, plain)
        gets = [_gets(server, scale.single_requests) for server in both]
        for server, requests in zip(both, gets, strict=True):
            one_by_one(server.port, requests)
        rounds = [
            [_p50_ms(server, requests) for server, requests in zip(both, gets, strict=True)]
            for _ in range(scale.rounds)
        ]
    ours, anchor = (tuple(each[place] for each in rounds) for place in (0, 1))
    return Line(
        "GET /tasks/{id}, HELIX_AUDIT_READS=all, p50",
        Series("", "ms", ours),
        Series("no reads recorded", "ms", anchor),
    )


def _gets(server: Helix, count: int) -> list[bytes]:
    answers = one_by_one(server.port, [server.request("POST", "/tasks", TASK)] * count)
    return [server.request("GET", f"/tasks/{orjson.loads(answer.body)['id']}") for answer in answers]


def _p50_ms(server: Helix, requests: Sequence[bytes]) -> float:
    return statistics.median(answer.seconds for answer in one_by_one(server.port, requests)) * 1e3
