"""Placements a second: `place` alone beside a scan of the nodes, and through
scheduler, engine and journal."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from random import Random

from benchmarks.first_fit import FirstFit, one_a_slot
from benchmarks.processes import scratch
from benchmarks.report import Line, Report, Series, at_least
from benchmarks.scale import Scale
from benchmarks.simulated import Simulated
from benchmarks.trace import RUN, SEED, TASKS_PER_NODE, Queues, Waiting, offers, specs, waiting
from helix_ray.core.placement import DEFAULT, STRATEGIES, Fleet, Node, Plan, Rules, place
from helix_ray.core.specs import TaskSpec
from helix_ray.followers.scheduler import ASSIGN_TASKS_MAX
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Journal

NAME = "placement"
PLACED_PER_S_MIN = 10_000.0
NOW = 0.0
# Tasks that end, and as many that come, between two plans: as many as one plan places, and few of them.
CHURN_TASKS, CHURN_FEW = ASSIGN_TASKS_MAX, 100
CHURNS = 10
SCANNED_TASKS = 500
ONES = 50
ONE_TASK: list[TaskSpec] = [{"title": "Test Task", "type": "building", "run": RUN}]
KEY = b"k" * 32
UNIT = "placements/s"
PUBLISHED = (
    "published figures of other machines, not measured here: Nomad C1M 3,750/s, kube-scheduler 680-810/s, "
    "180/s with devices"
)


def run(scale: Scale) -> Report:
    """Measure every size and every strategy, then the whole way through the engine."""
    sizes = scale.placement_nodes
    lines: list[Line] = []
    for nodes in sizes:
        lines += _beside_a_scan(nodes, scale.placement_rounds)
    for strategy in STRATEGIES:
        lines += _strategy(strategy, sizes[-1], scale.placement_rounds)
    for journal in JOURNALS:
        lines += _through_the_engine(journal, sizes[-1], scale.placement_rounds)
    _assert_same_plan(sizes[0])
    notes = (
        f"{TASKS_PER_NODE} tasks a node of 8 shapes, 5 projects and 4 priorities (benchmarks/trace.py), one "
        "core, fixed seeds; "
        "the same run gave the same plan",
        f"filling: empty nodes, {ASSIGN_TASKS_MAX:,} tasks a plan; churn: random tasks end, as many new ones "
        "come, and are placed",
        f"first-fit looks at the nodes in their order for each task; {SCANNED_TASKS} tasks after its own "
        "filling of the same nodes",
        "`place` alone in CPU seconds of its one thread, so that others on the machine do not count; the "
        "engine in seconds of the clock",
        "engine: Scheduler, StartAttempts, decide, evolve, append; nodes are registered, what they would "
        "report is reported",
        PUBLISHED,
    )  # fmt: skip
    return Report(NAME, "which node runs what", tuple(lines), notes)


# ------------------------------------------------------------------------------------------ place alone


class Planner:
    """A fleet, what waits for it and what it runs: `place` is timed, the bookkeeping
    of the benchmark is not."""

    def __init__(self, nodes: int, strategy: str = DEFAULT) -> None:
        self.fleet = Fleet([offer.node() for offer in offers(nodes)], one_a_slot)
        self.queues = Queues()
        self.running: list[tuple[Waiting, Node]] = []
        self.plans: list[Plan] = []
        self._rules = Rules(strategy=strategy)
        self._chance = Random(SEED)

    def add(self, tasks: Sequence[Waiting]) -> None:
        """Let tasks wait."""
        for task in tasks:
            self.queues.add(task)

    def place(self) -> tuple[int, float]:
        """Make one plan; return how many tasks it placed, and in how many seconds."""
        started = time.thread_time()
        plan = place(self.fleet, self.queues.ready, self._rules, NOW, ASSIGN_TASKS_MAX)
        taken = time.thread_time() - started
        self.plans.append(plan)
        for task_id, node_id in plan.pairs:
            self.running.append((self.queues.remove(task_id), self.fleet.nodes[node_id]))
        return len(plan.pairs), taken

    def end(self, count: int) -> float:
        """End random tasks; return how many seconds it took the fleet to take the room back."""
        ending = drawn(self.running, count, self._chance)
        started = time.thread_time()
        for task, node in ending:
            self.fleet.take(node, task.task_class, -1)
        return time.thread_time() - started

    def fill(self, tasks: Sequence[Waiting]) -> float:
        """Place all that finds room; return placements a second."""
        self.add(tasks)
        placed, taken = self.place()
        total, seconds = placed, taken
        while placed:
            placed, taken = self.place()
            total, seconds = total + placed, seconds + taken
        return total / seconds

    def churn(self, batches: Sequence[Sequence[Waiting]]) -> float:
        """For each batch end as many tasks, and place it; return placements a second,
        the ends' cost included."""
        total, seconds = 0, 0.0
        for batch in batches:
            seconds += self.end(len(batch))
            self.add(batch)
            placed, taken = self.place()
            total, seconds = total + placed, seconds + taken
        return total / seconds


def drawn(running: list[tuple[Waiting, Node]], count: int, chance: Random) -> list[tuple[Waiting, Node]]:
    """Take random tasks out of those that run."""
    out = []
    for _ in range(count):
        at = chance.randrange(len(running))
        running[at], running[-1] = running[-1], running[at]
        out.append(running.pop())
    return out


def churn_batches(count: int, batches: int) -> list[list[Waiting]]:
    """Return what comes later, in batches."""
    tasks = waiting(count * batches, SEED + 1)
    return [tasks[at : at + count] for at in range(0, len(tasks), count)]


@contextmanager
def quiet() -> Iterator[None]:
    """Leave what is there to no collection, as the master does after a start."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _beside_a_scan(nodes: int, rounds: int) -> list[Line]:
    tasks = waiting(nodes * TASKS_PER_NODE)
    few = churn_batches(CHURN_FEW, CHURNS * 3)
    ours, scans = [], []
    for _ in range(rounds):
        planner = Planner(nodes)
        planner.fill(tasks)
        with quiet():
            ours.append(planner.churn(few))
        scans.append(_scanned(nodes, tasks, few))
    mine, scan = Series("", UNIT, tuple(ours)), Series("first-fit", UNIT, tuple(scans))
    goal = at_least(PLACED_PER_S_MIN, UNIT, mine)
    return [Line(f"{nodes:,} nodes, churn of {CHURN_FEW}", mine, scan, goal)]


def _scanned(nodes: int, tasks: Sequence[Waiting], batches: Sequence[Sequence[Waiting]]) -> float:
    first_fit = FirstFit(offer.node() for offer in offers(nodes))
    running = first_fit.fill(tasks)
    chance = Random(SEED)
    total, seconds = 0, 0.0
    for batch in batches[: SCANNED_TASKS // CHURN_FEW]:
        for task, node in drawn(running, len(batch), chance):
            node.take(task.task_class, -1, 1)
        started = time.thread_time()
        placed = first_fit.place(batch)
        seconds += time.thread_time() - started
        total += len(placed)
        running += placed
    return total / seconds


def _strategy(strategy: str, nodes: int, rounds: int) -> list[Line]:
    tasks, batches = waiting(nodes * TASKS_PER_NODE), churn_batches(min(CHURN_TASKS, nodes), CHURNS)
    filled, churned = [], []
    for _ in range(rounds):
        planner = Planner(nodes, strategy)
        with quiet():
            filled.append(planner.fill(tasks))
            churned.append(planner.churn(batches))
    lines = []
    for what, rates in (("filling", filled), ("churn", churned)):
        series = Series("", UNIT, tuple(rates))
        lines.append(
            Line(
                f"{strategy}, {nodes:,} nodes, {what}", series, goal=at_least(PLACED_PER_S_MIN, UNIT, series)
            )
        )
    return lines


def _assert_same_plan(nodes: int) -> None:
    """Plan the same trace twice; raises AssertionError where the plans differ."""
    plans = []
    for _ in range(2):
        planner = Planner(nodes)
        planner.fill(waiting(nodes * TASKS_PER_NODE))
        planner.churn(churn_batches(CHURN_FEW, CHURNS))
        plans.append(planner.plans)
    if plans[0] != plans[1]:
        raise AssertionError("two runs of one trace gave two plans")


# ------------------------------------------------------------------------------------------ the whole way


@contextmanager
def _memory() -> Iterator[Journal]:
    yield MemoryJournal()


@contextmanager
def _sqlite() -> Iterator[Journal]:
    with scratch() as folder:
        journal = SqliteJournal(folder, KEY)
        try:
            yield journal
        finally:
            journal.close()


OpenJournal = Callable[[], AbstractContextManager[Journal]]
JOURNALS: dict[str, OpenJournal] = {"memory": _memory, "SQLite": _sqlite}


def _through_the_engine(name: str, nodes: int, rounds: int) -> list[Line]:
    lives = []
    for _ in range(rounds):
        with JOURNALS[name]() as journal, quiet():
            lives.append(_life(journal, nodes))
    at = f"engine, {name} journal, {nodes:,} nodes"
    return [
        Line(f"{at}, {what}", Series("", unit, tuple(life[what] for life in lives)))
        for what, unit in FIGURES.items()
    ]


# What a life through the engine is measured by.
FILLING, CHURN, ENDS, ONE = (
    "filling",
    "churn",
    "churn, submits and ends counted too",
    "one task, until started",
)
FIGURES = {FILLING: UNIT, CHURN: UNIT, ENDS: "tasks/s", ONE: "ms"}


def _life(journal: Journal, nodes: int) -> dict[str, float]:
    """Fill the nodes with tasks, let many end and as many come, and then one at a time."""
    cluster = Simulated(journal, offers(nodes))
    cluster.submit(specs(nodes * TASKS_PER_NODE))
    filled, seconds = placed_by(cluster)
    gc.collect()
    gc.freeze()
    placed, placing, all_of_it = 0, 0.0, 0.0
    for number in range(CHURNS):
        came = specs(min(CHURN_TASKS, nodes), SEED + number)
        started = time.perf_counter()
        cluster.end(len(came))
        cluster.submit(came)
        some, taken = placed_by(cluster)
        all_of_it += time.perf_counter() - started
        placed, placing = placed + some, placing + taken
    return {
        FILLING: filled / seconds,
        CHURN: placed / placing,
        ENDS: placed / all_of_it,
        ONE: statistics.median(_one_at_a_time(cluster)) * 1e3,
    }


def placed_by(cluster: Simulated) -> tuple[int, float]:
    """Let the scheduler place all that finds room; return how many tasks, and in how many seconds."""
    started = time.perf_counter()
    total = placed = cluster.react()
    while placed:
        placed = cluster.react()
        total += placed
    return total, time.perf_counter() - started


def _one_at_a_time(cluster: Simulated) -> Iterator[float]:
    """Give for each of some single tasks the seconds that the scheduler took to start it."""
    for _ in range(ONES):
        cluster.end(1)
        cluster.submit(ONE_TASK)
        started = time.perf_counter()
        cluster.react()
        yield time.perf_counter() - started
