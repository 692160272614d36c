"""Waits, shares and use of a busy cluster, beside first-fit on the same trace.

A discrete-event simulation: what is measured is the order and the place that the scheduler chooses, and for
that time may be a number. A task that has started ends after its duration, in whole seconds; the scheduler is
asked in every second in which something came or ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from heapq import heappop, heappush
from random import Random
from typing import Protocol

from benchmarks.first_fit import FirstFit, one_a_slot
from benchmarks.load import percentile
from benchmarks.outcome import Outcome
from benchmarks.report import Line, Report, Series
from benchmarks.scale import Scale
from benchmarks.trace import PROJECTS, SEED, Queues, Waiting, offers, waiting
from helix_ray.core.placement import DEFAULT, STRATEGIES, Fleet, Node, Rules, place
from helix_ray.core.specs import PRIORITIES

NAME = "queueing"
DURATION_S_MIN, DURATION_S_MAX = 20, 100
# Tasks come faster than the nodes can run them: this many a second and node.
CAME_PER_NODE_S = 0.5
# The largest project submits half of its tasks at once, at the start.
FLOOD = "red"
FLOOD_SHARE = 0.5

Started = list[tuple[Waiting, Node]]


class Chooser(Protocol):
    """Decides what starts where; it changes its nodes, and takes what it starts out of the queues."""

    nodes: list[Node]

    def start(self, queues: Queues, now: float) -> Started:
        """Start what fits now."""
        ...

    def end(self, task: Waiting, node: Node) -> None:
        """Take the room of a task back."""
        ...


class Ours:
    """`place`, with the rules that a cluster has by default; nobody is preempted."""

    def __init__(self, nodes: int, strategy: str = DEFAULT) -> None:
        self._fleet = Fleet([offer.node() for offer in offers(nodes)], one_a_slot)
        self._rules = Rules(strategy=strategy)
        self.nodes = [*self._fleet.nodes.values()]

    def start(self, queues: Queues, now: float) -> Started:
        """Plan once."""
        plan = place(self._fleet, queues.ready, self._rules, now, len(queues.tasks) + 1)
        return [(queues.remove(task_id), self._fleet.nodes[node_id]) for task_id, node_id in plan.pairs]

    def end(self, task: Waiting, node: Node) -> None:
        """Take the room of a task back."""
        self._fleet.take(node, task.task_class, -1)


class InOrder:
    """First-fit over what waits, in order of submit; `urgent_first`: the more urgent level before that."""

    def __init__(self, nodes: int, *, urgent_first: bool) -> None:
        self._first_fit = FirstFit(offer.node() for offer in offers(nodes))
        self._urgent_first = urgent_first
        self.nodes = self._first_fit.nodes

    def start(self, queues: Queues, now: float) -> Started:
        """Try every task once; what has no room is passed over. A class that has none is not tried again."""
        full: set[tuple[object, ...]] = set()
        started: Started = []
        for task in self._in_order(queues):
            shape = task.task_class[2:5]
            if shape in full:
                continue
            node = self._first_fit.find(task.task_class)
            if node is None:
                full.add(shape)
                continue
            node.take(task.task_class, 1, 1)
            started.append((queues.remove(task.id), node))
        return started

    def _in_order(self, queues: Queues) -> Iterable[Waiting]:
        tasks = [*queues.tasks.values()]
        return sorted(tasks, key=lambda task: -task.level) if self._urgent_first else tasks

    def end(self, task: Waiting, node: Node) -> None:
        """Take the room of a task back."""
        node.take(task.task_class, -1, 1)


def run(scale: Scale) -> Report:
    """Run one trace under each."""
    nodes, tasks = scale.queue_nodes, scale.queue_tasks
    trace = arrivals(nodes, tasks)
    ours = simulated(Ours(nodes), trace)
    if simulated(Ours(nodes), trace).waits != ours.waits:
        raise AssertionError("two runs of one trace gave two plans")
    fifo = simulated(InOrder(nodes, urgent_first=False), trace)
    urgent = simulated(InOrder(nodes, urgent_first=True), trace)
    lines = [*_waits(ours, fifo)]
    for name, other in (("first-fit", fifo), ("first-fit, urgent first", urgent)):
        lines += [_line(what, unit, read, ours, name, other) for what, unit, read in FIGURES]
    lines.append(_with_one_priority(nodes, trace))
    for strategy in STRATEGIES:
        outcome = simulated(Ours(nodes, strategy), trace)
        lines += [_line(f"{strategy}: {what}", unit, read, outcome) for what, unit, read in FIGURES[1:4]]
    shares = ", ".join(f"{name} {weight} %" for name, weight in PROJECTS.items())
    notes = (
        f"{tasks:,} tasks on {nodes} nodes, durations of {DURATION_S_MIN} to {DURATION_S_MAX} s, simulated "
        "time: it is the scheduler's choices that are measured",
        f"submitted by {shares}; half of what {FLOOD} submits comes at once at the start; weights are equal",
        "Jain's index: of the dominant shares of the projects that want more than they have, over the time "
        "in which several do",
        "levels of priority come before shares: with one level for all the index says what the "
        "shares alone do",
        "started out of turn: a more urgent task that went on waiting would have fitted in its place; after "
        "600 s of waiting a task may overtake a level",
    )  # fmt: skip
    return Report(NAME, "waits, shares and use, in simulated time", tuple(lines), notes)


def arrivals(nodes: int, tasks: int) -> list[tuple[Waiting, float]]:
    """Return tasks with the durations they will turn out to have, in order of submit."""
    chance = Random(SEED)
    until = tasks / (nodes * CAME_PER_NODE_S)
    found = []
    for task in waiting(tasks):
        at_once = task.task_class.project == FLOOD and chance.random() < FLOOD_SHARE
        at = 0.0 if at_once else float(int(chance.random() * until))
        found.append((replace(task, at=at), float(chance.randint(DURATION_S_MIN, DURATION_S_MAX))))
    return sorted(found, key=lambda pair: (pair[0].at, pair[0].id))


def simulated(chooser: Chooser, trace: list[tuple[Waiting, float]]) -> Outcome:
    """Run a trace to its end."""
    outcome = Outcome(chooser.nodes)
    durations = {task.id: duration for task, duration in trace}
    coming = [*reversed(trace)]
    ending: list[tuple[float, str, Waiting, Node]] = []
    queues = Queues()
    now = 0.0
    while coming or ending:
        after = min([task.at for task, _ in coming[-1:]] + [first[0] for first in ending[:1]])
        outcome.passed(after - now, queues)
        now = after
        while ending and ending[0][0] <= now:
            _, _, task, node = heappop(ending)
            chooser.end(task, node)
            outcome.end(task, now)
        while coming and coming[-1][0].at <= now:
            queues.add(coming.pop()[0])
        started = chooser.start(queues, now)
        outcome.start(started, queues, now)
        for task, node in started:
            heappush(ending, (now + durations[task.id], task.id, task, node))
    if outcome.started != len(trace):
        raise AssertionError(f"{len(trace) - outcome.started} tasks never started")
    return outcome


# ------------------------------------------------------------------------------------------ the table

Read = Callable[[Outcome], float]
FIGURES: tuple[tuple[str, str, Read], ...] = (
    ("Jain's index of the shares", "", Outcome.fairness),
    ("CPUs in use", "%", lambda outcome: outcome.utilisation("cpu")),
    ("GPUs in use", "%", lambda outcome: outcome.utilisation("gpu")),
    ("until the last task ended", "s", lambda outcome: outcome.makespan),
    ("started out of turn", "tasks", lambda outcome: float(outcome.inversions)),
    ("mean wait of critical tasks", "s", lambda outcome: outcome.mean_wait_of(len(PRIORITIES) - 1)),
)


def _line(
    what: str, unit: str, read: Read, ours: Outcome, name: str = "", other: Outcome | None = None
) -> Line:
    anchor = None if other is None else Series(name, unit, (read(other),))
    return Line(what, Series("", unit, (read(ours),)), anchor)


def _with_one_priority(nodes: int, trace: list[tuple[Waiting, float]]) -> Line:
    """Return how evenly projects share when no task is more urgent than another:
    levels come before shares."""
    even = [(replace(task, level=1), duration) for task, duration in trace]
    ours, fifo = simulated(Ours(nodes), even), simulated(InOrder(nodes, urgent_first=False), even)
    return _line("Jain's index, one priority for all", "", Outcome.fairness, ours, "first-fit", fifo)


def _waits(ours: Outcome, other: Outcome) -> Iterable[Line]:
    for project, share in PROJECTS.items():
        for what, read in (("mean", _mean), ("p95", lambda waits: percentile(waits, 0.95))):
            mine = Series("", "s", (read(ours.waits[project]),))
            theirs = Series("first-fit", "s", (read(other.waits[project]),))
            yield Line(f"{what} wait of {project} ({share} % of the tasks)", mine, theirs)


def _mean(waits: list[float]) -> float:
    return sum(waits) / len(waits)
