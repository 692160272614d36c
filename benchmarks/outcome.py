"""What a simulated cluster did with its tasks: waits, use, shares, and starts out of turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.trace import Queues, Waiting
from helix_ray.core.placement import EPSILON, Node
from helix_ray.core.state import TaskClass


def jain(shares: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 when all have the same, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


class Outcome:
    """Takes in every start and end of a run; all times in simulated seconds."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.totals: defaultdict[str, float] = defaultdict(float)
        for node in nodes:
            for name, amount in node.capacity.items():
                self.totals[name] += amount
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self.waits_by_class: defaultdict[TaskClass, list[float]] = defaultdict(list)
        self._waits_by_level: defaultdict[int, list[float]] = defaultdict(list)
        self.inversions = 0
        self.started = 0
        self.makespan = 0.0
        self._used: dict[str, defaultdict[str, float]] = {}
        self._used_seconds: defaultdict[str, float] = defaultdict(float)
        # Jain's index times the seconds it held, and these seconds.
        self._fair_seconds = 0.0
        self._contended_s = 0.0

    def start(self, started: Sequence[tuple[Waiting, Node]], left: Queues, now: float) -> None:
        """Note what has just been started; `left` is what waits on."""
        for task, _ in started:
            self.waits[task.task_class.project].append(now - task.at)
            self.waits_by_class[task.task_class].append(now - task.at)
            self._waits_by_level[task.level].append(now - task.at)
            self._use(task, 1)
        self.started += len(started)
        self.inversions += out_of_turn(started, left)

    def end(self, task: Waiting, now: float) -> None:
        """Note that a task is done."""
        self._use(task, -1)
        self.makespan = max(self.makespan, now)

    def _use(self, task: Waiting, sign: int) -> None:
        used = self._used.setdefault(task.task_class.project, defaultdict(float))
        for name, amount in task.task_class.demand:
            used[name] += sign * amount

    def passed(self, seconds: float, left: Queues) -> None:
        """Note that nothing changed for so long."""
        for used in self._used.values():
            for name, amount in used.items():
                self._used_seconds[name] += amount * seconds
        wanting = {task_class.project for task_class in left.ready}
        if len(wanting) > 1:
            self._contended_s += seconds
            self._fair_seconds += seconds * jain([self.dominant(project) for project in sorted(wanting)])

    def dominant(self, project: str) -> float:
        """Return the largest share of any resource that a project holds."""
        return max(
            (amount / self.totals[name] for name, amount in self._used.get(project, {}).items()), default=0.0
        )

    def mean_wait_of(self, level: int) -> float:
        """Return the mean wait of the tasks of a priority level."""
        waits = self._waits_by_level[level]
        return sum(waits) / len(waits) if waits else 0.0

    def utilisation(self, name: str) -> float:
        """Return the mean share of a resource that was in use, in percent, until the last task ended."""
        return 100.0 * self._used_seconds[name] / (self.totals[name] * self.makespan)

    def fairness(self) -> float:
        """Return the mean of Jain's index over the dominant shares of the projects that wanted
        more, while several did."""
        return self._fair_seconds / self._contended_s if self._contended_s else 1.0


def out_of_turn(started: Sequence[tuple[Waiting, Node]], left: Queues) -> int:
    """Return how many tasks were started on a node where a more urgent one that still
    waits would have fitted."""
    most_urgent = {
        task_class: max(level for level, line in enumerate(queue.levels) if line)
        for task_class, queue in left.ready.items()
    }
    return sum(
        any(
            level > task.level
            and node.suits(task_class)
            and _fits_instead(node, task.task_class.demand, task_class.demand)
            for task_class, level in most_urgent.items()
        )
        for task, node in started
    )


def _fits_instead(node: Node, given: Iterable[tuple[str, float]], asked: Iterable[tuple[str, float]]) -> bool:
    back: Mapping[str, float] = dict(given)
    return all(node.free.get(name, 0.0) + back.get(name, 0.0) + EPSILON >= amount for name, amount in asked)
