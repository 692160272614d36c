"""A few large tasks among many small ones: how long they wait with room held for them,
without, and in strict order.

A discrete-event simulation as in benchmarks/queueing.py. All tasks are of one project and priority. A node is
never empty by itself, so a task that needs a whole one depends on what the scheduler does for it.
"""

from __future__ import annotations

from random import Random

from benchmarks.first_fit import FirstFit, one_a_slot
from benchmarks.load import percentile
from benchmarks.outcome import Outcome
from benchmarks.queueing import Chooser, Started, simulated
from benchmarks.report import Line, Report, Series
from benchmarks.scale import Scale
from benchmarks.trace import RUN, SEED, Queues, Waiting
from helix_ray.core.placement import Fleet, Node, Rules, place
from helix_ray.core.placement.estimate import runs_on_s
from helix_ray.core.policy import Policy
from helix_ray.core.state import Demand, TaskClass, class_of
from helix_ray.core.waits import Reservation
from helix_ray.followers.scheduler import IN_VAIN_S, SEARCH_EVERY_S

NAME = "reserving"
CPUS = 8
DURATION_S_MIN, DURATION_S_MAX = 20, 100
MEAN_S = (DURATION_S_MIN + DURATION_S_MAX) / 2
# Of all CPUs, so much is asked for by small tasks, and by those that need a node's.
SMALL_LOAD, LARGE_LOAD = 0.87, 0.05


SMALL, LARGE = (
    class_of({"type": "building", "run": RUN, "resources": {"cpu": cpu}, "project_id": "red"})
    for cpu in (1, CPUS)
)


def empty(count: int) -> list[Node]:
    """Return nodes that are alike."""
    return [Node(f"node-{i:04}", {"cpu": float(CPUS)}) for i in range(count)]


class Ours:
    """`place` with a hold after so long (None: never); durations are known by their
    mean, as in a real cluster."""

    def __init__(self, nodes: int, reserve_after_s: float | None) -> None:
        self._fleet = Fleet(empty(nodes), one_a_slot)
        self.nodes = [*self._fleet.nodes.values()]
        self._reserve_after_s = reserve_after_s
        self._reservations: tuple[Reservation, ...] = ()
        self._search_at = 0.0
        self._unreservable: dict[TaskClass, float] = {}
        self._running: dict[str, dict[str, tuple[float, Demand]]] = {node.id: {} for node in self.nodes}

    def start(self, queues: Queues, now: float) -> Started:
        """Plan once."""

        def endings(node_id: str) -> list[tuple[float, Demand]]:
            running = self._running[node_id].values()
            return [(runs_on_s(now - began, MEAN_S), demand) for began, demand in running]

        rules = Rules(
            reservations=self._reservations,
            reserve_after_s=self._reserve_after_s,
            may_search=now >= self._search_at,
            unreservable=[task_class for task_class, until in self._unreservable.items() if now < until],
            endings=endings,
        )
        plan = place(self._fleet, queues.ready, rules, now, len(queues.tasks) + 1)
        self._reservations = plan.reservations
        if plan.searched:
            self._search_at = now + SEARCH_EVERY_S
            self._unreservable.update(dict.fromkeys(plan.in_vain, now + IN_VAIN_S))
        started = [(queues.remove(task_id), self._fleet.nodes[node_id]) for task_id, node_id in plan.pairs]
        for task, node in started:
            self._running[node.id][task.id] = now, task.task_class.demand
        return started

    def end(self, task: Waiting, node: Node) -> None:
        """Take the room of a task back."""
        del self._running[node.id][task.id]
        self._fleet.take(node, task.task_class, -1)


class StrictOrder:
    """First-fit in order of submit; nobody passes one that has no room."""

    def __init__(self, nodes: int) -> None:
        self._first_fit = FirstFit(empty(nodes))
        self.nodes = self._first_fit.nodes

    def start(self, queues: Queues, now: float) -> Started:
        """Start until one has no room."""
        started: Started = []
        for task in [*queues.tasks.values()]:
            node = self._first_fit.find(task.task_class)
            if node is None:
                break
            node.take(task.task_class, 1, 1)
            started.append((queues.remove(task.id), node))
        return started

    def end(self, task: Waiting, node: Node) -> None:
        """Take the room of a task back."""
        node.take(task.task_class, -1, 1)


def run(scale: Scale) -> Report:
    """Run one trace under each."""
    nodes = scale.queue_nodes // 4
    trace = arrivals(nodes, scale.queue_tasks)
    after_s = Policy().reserve_after_s
    reserving = simulated(Ours(nodes, after_s), trace)
    others: list[tuple[str, Chooser]] = [
        ("without reservations", Ours(nodes, None)),
        ("strict order", StrictOrder(nodes)),
    ]
    lines = [line for name, chooser in others for line in _lines(reserving, name, simulated(chooser, trace))]
    notes = (
        f"{len(trace):,} tasks on {nodes} nodes of {CPUS} CPUs, {DURATION_S_MIN} to {DURATION_S_MAX} s each, "
        f"in simulated time; one in {round(len(trace) / _larges(trace))} needs all CPUs of a node",
        f"small tasks ask for {SMALL_LOAD:.0%} of all CPUs, large ones for {LARGE_LOAD:.0%}; reservations "
        f"after {after_s:g} s",
        "strict order: nobody passes one that has no room",
    )  # fmt: skip
    return Report(NAME, "large tasks among small ones, in simulated time", tuple(lines), notes)


def arrivals(nodes: int, tasks: int) -> list[tuple[Waiting, float]]:
    """Return tasks and the durations that they will turn out to have, in order of submit."""
    chance = Random(SEED)
    share = (LARGE_LOAD / CPUS) / (SMALL_LOAD + LARGE_LOAD / CPUS)
    until_s = tasks * (1 - share) * MEAN_S / (SMALL_LOAD * nodes * CPUS)
    at = sorted(float(int(chance.random() * until_s)) for _ in range(tasks))
    return [
        (
            Waiting(f"t{i:06}", LARGE if chance.random() < share else SMALL, 1, came_at),
            float(chance.randint(DURATION_S_MIN, DURATION_S_MAX)),
        )
        for i, came_at in enumerate(at)
    ]


def _larges(trace: list[tuple[Waiting, float]]) -> int:
    return sum(1 for task, _ in trace if task.task_class == LARGE)


def _lines(ours: Outcome, name: str, other: Outcome) -> list[Line]:
    def line(what: str, unit: str, mine: float, theirs: float) -> Line:
        return Line(what, Series("", unit, (mine,)), Series(name, unit, (theirs,)))

    found = []
    for size, task_class in (("large", LARGE), ("small", SMALL)):
        mine, theirs = (sorted(outcome.waits_by_class[task_class]) for outcome in (ours, other))
        found += [
            line(f"mean wait of {size} tasks", "s", sum(mine) / len(mine), sum(theirs) / len(theirs)),
            line(f"p95 wait of {size} tasks", "s", percentile(mine, 0.95), percentile(theirs, 0.95)),
            line(f"longest wait of {size} tasks", "s", mine[-1], theirs[-1]),
        ]
    used = line("CPUs in use", "%", ours.utilisation("cpu"), other.utilisation("cpu"))
    return [*found, used, line("until the last task ended", "s", ours.makespan, other.makespan)]
