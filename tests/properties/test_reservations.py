"""Nobody starves: what fits on an empty node starts, however many smaller tasks keep coming."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.core.placement import Fleet, Node, Rules, place
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import Demand, TaskClass
from helix_ray.core.waits import Reservation
from tests.properties import small_clusters as sc

RESERVE_AFTER_S = 10
RUN_S_MAX = 12
# Small tasks that wait at any time: more than all nodes take.
WAITING = 40


def class_of(gang: str = "", **resources: float) -> TaskClass:
    return sc.class_of({"type": "testing", "run": sc.RUN, "resources": resources})._replace(gang=gang)


SMALL = (
    class_of(cpu=1),
    class_of(cpu=0.5),
    class_of(cpu=1, gpu=1),
    class_of(cpu=1, gpu=0.5),
    class_of(cpu=2, memory_mb=512),
)


class Running(NamedTuple):
    ends_at: int
    node: str
    task_class: TaskClass


class Simulation:
    """A cluster in whole seconds, full of small tasks; a large one comes after the first second and is
    older than all that wait."""

    def __init__(
        self, nodes: list[Node], large: TaskClass, wanted: int, reserve_after_s: float | None
    ) -> None:
        self.fleet = Fleet(nodes, lambda task_class: 1)
        self.large = large
        self.wanted = wanted
        self.ready: dict[TaskClass, ReadyQueue] = {}
        self.running: list[Running] = []
        self.reservations: tuple[Reservation, ...] = ()
        self.reserve_after_s = reserve_after_s
        self.serial = 0

    def started_at(self, chance: st.DataObject, until: int) -> int | None:
        """Go on until all of the large task has started; None when it has not by then."""
        for now in range(until):
            for task in [task for task in self.running if task.ends_at <= now]:
                self.running.remove(task)
                self.fleet.take(self.fleet.nodes[task.node], task.task_class, -1)
            self._come(now)
            self._place(now, chance)
            if now == 0:
                queue = self.ready[self.large] = ReadyQueue()
                for i in range(self.wanted):
                    queue.add(f"large-{i}", 1, 0.0, first=False)
            if not self.ready[self.large].size:
                return now
        return None

    def _come(self, now: int) -> None:
        for task_class in SMALL:
            queue = self.ready.setdefault(task_class, ReadyQueue())
            while queue.size < WAITING:
                self.serial += 1
                queue.add(f"small-{self.serial}", 1, now + 1.0, first=False)

    def _place(self, now: int, chance: st.DataObject) -> None:
        def endings(node_id: str) -> list[tuple[float, Demand]]:
            mine = [task for task in self.running if task.node == node_id]
            return [(float(task.ends_at - now), task.task_class.demand) for task in mine]

        rules = Rules(reservations=self.reservations, reserve_after_s=self.reserve_after_s, endings=endings)
        plan = place(self.fleet, self.ready, rules, float(now), 10_000)
        self.reservations = plan.reservations
        for task_id, node_id in plan.pairs:
            (task_class,) = (
                task_class for task_class, queue in self.ready.items() if task_id in queue.levels[1]
            )
            self.ready[task_class].discard(task_id, 1)
            runs_s = chance.draw(st.integers(1, RUN_S_MAX))
            self.running.append(Running(now + runs_s, node_id, task_class))


@st.composite
def larges(draw: st.DrawFn) -> tuple[list[Node], TaskClass, int]:
    """Return nodes, and a class of which so many fit together on them when they are empty."""
    nodes = []
    for i in range(draw(st.integers(1, 4))):
        capacity = {"cpu": float(draw(st.integers(2, 6))), "memory_mb": 4096.0}
        gpus = draw(st.integers(0, 2))
        nodes.append(Node(f"n{i}", capacity | ({"gpu": float(gpus)} if gpus else {})))
    whole = draw(st.sampled_from(nodes))
    asked: dict[str, Any] = {"cpu": draw(st.integers(2, int(whole.capacity["cpu"])))}
    if "gpu" in whole.capacity and draw(st.booleans()):
        asked["gpu"] = draw(st.integers(1, int(whole.capacity["gpu"])))
    task_class = class_of(**asked)
    fleet = Fleet([Node(node.id, node.capacity) for node in nodes], lambda task_class: 1)
    most = sum(node.free_slots(task_class) for node in fleet.nodes.values())
    wanted = draw(st.integers(1, most))
    return nodes, task_class._replace(gang="whole") if wanted > 1 else task_class, wanted


@settings(max_examples=60, deadline=None)
@given(larges(), st.data())
def test_a_large_task_starts_once_what_ran_before_the_reservation_has_ended(
    cluster: tuple[list[Node], TaskClass, int], chance: st.DataObject
) -> None:
    """However the small ones come and end; all of a gang at once."""
    nodes, task_class, wanted = cluster
    simulation = Simulation(nodes, task_class, wanted, RESERVE_AFTER_S)
    assert simulation.started_at(chance, RESERVE_AFTER_S + RUN_S_MAX + 1) is not None


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_without_a_reservation_it_may_wait_for_ever(chance: st.DataObject) -> None:
    """A node whose CPUs are never free at the same time."""
    large = class_of(cpu=6)
    simulation = Simulation([Node("n", {"cpu": 6.0})], large, 1, None)
    # One that runs for long keeps the others from ending together.
    simulation.fleet.take(simulation.fleet.nodes["n"], SMALL[0], 1)
    simulation.running.append(Running(10 * RUN_S_MAX, "n", SMALL[0]))
    assert simulation.started_at(chance, 10 * RUN_S_MAX) is None
