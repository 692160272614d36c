"""What the audit costs those who write and read: orders beside a journal without tree and signatures, and
GETs with and without a record of every read."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from actors.collector import leave_out_of_collections, without_collector
from benchmarks import wrk
from benchmarks.bulk import accepted, batch, submit
from benchmarks.history import LIVE_SPEC, PastClock
from benchmarks.load import one_by_one
from benchmarks.processes import Helix, exact_cpu_s, helix, scratch
from benchmarks.report import Line, Report, Series, ratio_at_least
from benchmarks.scale import Scale
from benchmarks.throughput import Completed
from benchmarks.treeless import PYTHON_PATH
from benchmarks.treeless.journal import Switch, Treeless
from helix_ray.checkpoints import CheckpointKeeper
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, SubmitTasks
from helix_ray.engine import Engine
from helix_ray.journal.hashing import native
from helix_ray.journal.layout import connect
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.journal.tree import StoredTree
from helix_ray.wire.ids import new_seed

NAME = "audit_cost"
WRITES_SHARE = 0.95
# (orders in one commit, tasks of an order): alone, in a busy moment, and large.
SHAPES = ((1, 1), (64, 1), (1, 500))
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
BATCH_TASKS = 500
KEPT_EVERY_S = 1.0
# Short rounds, so that a ratio is of moments that are alike.
ROUNDS_EACH = 5


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
        "without: the same file and commits; no salts, leaves, nodes, roots, HEAD and checkpoints; over HTTP "
        "one server does both, in turns, and CPU is that of its master and replica",
        f"facts are hashed in {'Python: _hashing.c was not built' if native is None else 'C'}",
        "engine: orders, decisions, facts and commits in one process; without a goal, since nobody writes so",
        "every GET is of another task, and one reader's reads of a second become one record",
    )
    requests, certainty = _requests(scale)
    lines = (*requests, *_writes(scale), _reads(scale))
    return Report(NAME, "what the audit costs", lines, (*notes, *certainty))


def _requests(scale: Scale) -> tuple[list[Line], list[str]]:
    """Write over HTTP to servers whose journal has its tree and signatures in some turns and not in others:
    two servers that are alike differ by more than the tree costs. Return the lines, and how sure their ratios
    are."""
    lines: list[Line] = []
    notes: list[str] = []
    for load in _loads(scale):
        with scratch() as folder:
            home = folder / "data"
            # Of its own, since a queue has room for two million tasks.
            with helix(data_dir=home, python_path=str(PYTHON_PATH)) as server:
                pairs = Both(server, Switch(home)).pairs(load, scale.rounds)
            _verify(home)
        lines += _lines(load.what, pairs, WRITES_SHARE)
        notes.append(f"{load.what}: {_certainty([ours.wall_s / bare.wall_s for ours, bare in pairs])}")
    return lines, notes


class Load(NamedTuple):
    """What is written in a turn, and returns how many tasks it wrote; `pairs_each` is how many pairs of turns
    a round has, more of short ones."""

    what: str
    write: Callable[[Both], int]
    pairs_each: int


def _loads(scale: Scale) -> list[Load]:
    bodies = [batch(BATCH_TASKS)] * (scale.bulk_tasks // (20 * BATCH_TASKS))
    functions = scale.noop_tasks // ROUNDS_EACH
    return [
        Load("POST /tasks, 1 connection", lambda to: _one_by_one(to.server, scale.single_requests // 4), 20),
        Load("POST /tasks, 64 connections", lambda to: _at_once(to.server, scale.load_s / 4), 12),
        Load(
            f"POST /tasks/batch, {BATCH_TASKS} tasks",
            lambda to: len(accepted(submit(to.server, bodies, 2))),
            36,
        ),
        Load("no-op functions, from submit to completed", lambda to: _run(to.completed, functions), 16),
    ]


class Both:
    """A server that writes with and without tree and signatures, as its switch says."""

    def __init__(self, server: Helix, switch: Switch) -> None:
        self.server = server
        self.completed = Completed(server)
        self._switch = switch
        self._processes = [server.actor(name) for name in ("Master", "ServeReplica:helix")]

    def pairs(self, load: Load, rounds: int) -> list[tuple[Spent, Spent]]:
        """Return the rates of a load with and without, of each pair of turns; each is the first one in every
        other pair, so that what grows with the tasks counts for both."""
        self._rates(load, True)
        found: list[tuple[Spent, Spent]] = []
        for pair in range(rounds * load.pairs_each):
            first = pair % 2 == 0
            rates = {on: self._rates(load, on) for on in (first, not first)}
            found.append((rates[True], rates[False]))
        self._turn(True)
        return found

    def _rates(self, load: Load, on: bool) -> Spent:
        """Return the tasks that a load wrote in a second, and in one of CPU of master and replica."""
        self._turn(on)
        # The history's work for the turn before is not part of this one.
        self.completed.followed()
        began, used = time.perf_counter(), sum(map(exact_cpu_s, self._processes))
        tasks = load.write(self)
        taken = time.perf_counter() - began
        return Spent(tasks / taken, tasks / (sum(map(exact_cpu_s, self._processes)) - used))

    def _turn(self, on: bool) -> None:
        self._switch.turn(on)
        # The first commit with the tree adds to it what was written without.
        _one_by_one(self.server, 1)


def _certainty(ratios: Sequence[float]) -> str:
    """Return the median of ratios, and between which of them it is with 95 % certainty: the ranks around the
    middle that a binomial distribution gives, since a turn beside a checkpoint of the file takes twice as
    long."""
    ordered, middle = sorted(ratios), len(ratios) / 2
    off = 1.96 * len(ratios) ** 0.5 / 2
    low, high = (
        ordered[max(0, math.floor(middle - off))],
        ordered[min(len(ratios), math.ceil(middle + off)) - 1],
    )
    return (
        f"{statistics.median(ratios):.3f} x ({low:.3f}..{high:.3f} with 95 % certainty, {len(ratios)} pairs)"
    )


def _verify(home: Path) -> None:
    """Check that the turns with the tree made one: all facts of the run match its nodes. Raises
    JournalDamaged."""
    with closing(connect(home / FILE_NAME, "ro")) as con:
        tree = StoredTree(con)
        tree.check(0, tree.newest())


def _one_by_one(server: Helix, count: int) -> int:
    return len(one_by_one(server.port, [server.request("POST", "/tasks", TASK)] * count))


def _at_once(server: Helix, seconds: float) -> int:
    return wrk.load(server.port, [server.request("POST", "/tasks", TASK)], seconds).requests


def _run(completed: Completed, functions: int) -> int:
    completed.tasks_per_s(functions)
    return functions


def _writes(scale: Scale) -> list[Line]:
    lines: list[Line] = []
    with scratch() as folder, _collected_as_in_the_master():
        for orders, tasks_each in SHAPES:
            found = _shape(folder, scale, orders, tasks_each)
            lines += _lines(f"engine: {orders} orders a commit, {tasks_each} tasks an order", found)
    return lines


def _lines(what: str, rates: Sequence[tuple[Spent, Spent]], share: float | None = None) -> list[Line]:
    """Return the lines of a load; `share` is the goal: how much is left of the throughput without."""
    lines: list[Line] = []
    for place, unit in enumerate(("tasks/s", "tasks/s of CPU")):
        here, there = (tuple(each[which][place] for each in rates) for which in (0, 1))
        mine, its = Series("", unit, here), Series("without tree and signatures", unit, there)
        goal = None if share is None or place else ratio_at_least(share, "without", mine, its)
        lines.append(Line(what, mine, its, goal))
    return lines


def _shape(folder: Path, scale: Scale, orders: int, tasks_each: int) -> list[tuple[Spent, Spent]]:
    """Return tasks a second, of wall time and of CPU time, with and without, once a round."""
    tasks = scale.audited_tasks if orders * tasks_each > 1 else scale.audited_tasks // 20
    rounds = scale.rounds * ROUNDS_EACH
    commits = max(1, tasks // (ROUNDS_EACH * orders * tasks_each))
    with (
        _writer(folder / f"{orders}-{tasks_each}-with", SqliteJournal) as ours,
        _writer(folder / f"{orders}-{tasks_each}-without", Treeless) as bare,
    ):
        # The first one finds cold code, and tables without pages.
        _in_turns(ours, bare, commits, orders, tasks_each)
        return [_in_turns(ours, bare, commits, orders, tasks_each) for _ in range(rounds)]


def _in_turns(ours: Writer, bare: Writer, commits: int, orders: int, tasks_each: int) -> tuple[Spent, Spent]:
    """Have both commit in turns, so that what else the machine does slows both; return how many tasks a
    second each wrote."""
    spent = {ours: Spent(0.0, 0.0), bare: Spent(0.0, 0.0)}
    for turn in range(commits):
        for writer in (ours, bare) if turn % 2 else (bare, ours):
            spent[writer] = spent[writer].more(writer.submit(orders, tasks_each))
    leave_out_of_collections()
    tasks = commits * orders * tasks_each
    with_it, without = (Spent(tasks / each.wall_s, tasks / each.cpu_s) for each in (spent[ours], spent[bare]))
    return with_it, without


@contextmanager
def _collected_as_in_the_master() -> Iterator[None]:
    """Collect garbage as the master does: one look at all tasks would count for whoever caused it."""
    was = gc.get_threshold()
    without_collector(gc.collect)
    try:
        yield
    finally:
        gc.set_threshold(*was)
        gc.unfreeze()


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
