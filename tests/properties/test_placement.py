"""Placement on random small clusters against brute force: legal, complete, replayable,
and true to its strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helix_ray.core.placement import STRATEGIES, Fleet, Node, Rules, RunningAttempt, place
from helix_ray.core.placement.plan import RESERVED
from helix_ray.core.placement.preempt import victims_on
from helix_ray.core.placement.unmet_constraints import unmet_constraints
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import Demand, Quota, TaskClass
from tests.properties import small_clusters as sc

NOW = 60.0
EXAMPLES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def prefetch_of(prefetch: int) -> Callable[[TaskClass], int]:
    return lambda task_class: prefetch


def class_by_task(ready: dict[TaskClass, ReadyQueue]) -> dict[str, TaskClass]:
    return {i: task_class for task_class, queue in ready.items() for line in queue.levels for i in line}


@EXAMPLES
@given(
    sc.nodes(),
    sc.waiting(),
    st.sampled_from((*STRATEGIES,)),
    st.sampled_from((1, 1, 3)),
    st.sampled_from((None, 0.0)),
)
def test_every_placement_is_legal_and_none_is_missed(
    nodes: list[Node], waiting: sc.Waiting, strategy: str, prefetch: int, reserve_after_s: float | None
) -> None:
    """Each pair fits where it goes when it goes there and within the quota; afterwards nothing that waits
    fits anywhere, except what must wait because a node is reserved for another."""
    holding = {node.id: dict(node.load) for node in nodes}
    by_id = {node.id: node for node in sc.copy_of(nodes)}
    rules = Rules(
        strategy=strategy,
        quotas=waiting.quotas,
        reserve_after_s=reserve_after_s,
        endings=lambda node_id: endings_of(holding[node_id], prefetch),
    )
    plan = place(Fleet(nodes, prefetch_of(prefetch)), waiting.ready, rules, NOW, 1000)
    assert all(node.unschedulable == by_id[node.id].unschedulable for node in nodes)
    class_of_task = class_by_task(waiting.ready)

    def prefetch_for(task_class: TaskClass) -> int:
        return 1 if task_class.gang else prefetch

    def all_prefetches(on_node: dict[TaskClass, int]) -> dict[TaskClass, int]:
        # In slots with the oracle's one prefetch, each shard of a gang takes a slot.
        return {
            task_class: count * prefetch // prefetch_for(task_class) for task_class, count in on_node.items()
        }

    placed = Counter(task_id for task_id, _ in plan.pairs)
    assert set(placed.values()) <= {1}, "a task was placed twice"
    for task_id, node_id in plan.pairs:
        task_class = class_of_task[task_id]
        on_node = all_prefetches(holding[node_id])
        assert sc.fits(by_id[node_id], on_node, task_class, prefetch), f"{task_id} does not fit on {node_id}"
        opens_a_slot = not on_node.get(task_class, 0) % prefetch
        slots = {name: all_prefetches(each) for name, each in holding.items()}
        assert not opens_a_slot or sc.quota_allows(slots, waiting.quotas, task_class, prefetch), (
            "over its quota"
        )
        holding[node_id][task_class] = holding[node_id].get(task_class, 0) + 1
    slots = {name: all_prefetches(each) for name, each in holding.items()}
    for task_class, queue in waiting.ready.items():
        left = queue.size - sum(1 for i in placed if class_of_task[i] == task_class)
        if task_class.gang:
            assert left in (0, queue.size), "a gang was cut"
        on_node = {
            name
            for reservation in plan.reservations
            for name in reservation.nodes
            if plan.blocked.get(task_class) == RESERVED
        }
        others = {name: node for name, node in by_id.items() if name not in on_node}
        if left:
            assert not missed(others, slots, waiting.quotas, task_class, prefetch, left), (
                f"{left} of {task_class} were missed"
            )


def endings_of(load: dict[TaskClass, int], prefetch: int) -> list[tuple[float, Demand]]:
    """Return when each slot of a node ends: one after the other."""
    demands = [task_class.demand for task_class, count in load.items() for _ in range(-(-count // prefetch))]
    return [(float(i), demand) for i, demand in enumerate(demands)]


def missed(
    nodes: dict[str, Node],
    slots: dict[str, dict[TaskClass, int]],
    quotas: dict[str, Quota],
    task_class: TaskClass,
    prefetch: int,
    left: int,
) -> bool:
    """Say whether one more task (of a gang: all) of a class could have been placed."""
    wanted = left if task_class.gang else 1
    begun = any(
        slots[name].get(task_class, 0) % prefetch and sc.suits(node, task_class)
        for name, node in nodes.items()
    )
    if begun:
        return True
    if not sc.quota_allows(slots, quotas, task_class, prefetch, wanted):
        return False
    slots = {name: dict(on_node) for name, on_node in slots.items()}
    for _ in range(wanted):
        able = [name for name, node in nodes.items() if sc.fits(node, slots[name], task_class, prefetch)]
        if not able:
            return False
        slots[able[0]][task_class] = slots[able[0]].get(task_class, 0) + prefetch
    return True


@EXAMPLES
@given(sc.nodes(), sc.waiting(gangs=False), st.sampled_from((*STRATEGIES,)))
def test_a_strategy_does_what_its_name_says(nodes: list[Node], waiting: sc.Waiting, strategy: str) -> None:
    """Every task went to a node that no other node that had room for it beats, by
    the strategy's own words."""
    again = {node.id: node for node in sc.copy_of(nodes)}
    for node in again.values():
        node.recompute(prefetch_of(1))
    plan = place(Fleet(nodes, prefetch_of(1)), waiting.ready, Rules(strategy=strategy), NOW, 1000)
    class_of_task = class_by_task(waiting.ready)
    turns: dict[str, int] = {}
    sought = {pair for task_class in waiting.ready for pair in task_class.labels}
    for turn, (task_id, node_id) in enumerate(plan.pairs, start=1):
        task_class = class_of_task[task_id]
        able = [node for node in again.values() if sc.fits(node, node.load, task_class)]
        known = Known(turns, sought)
        best = min(WORDS[strategy](node, task_class, known) for node in able)
        chosen = WORDS[strategy](again[node_id], task_class, known)
        assert chosen <= best + 1e-9, f"{task_id} went to {node_id}: {chosen}, the best was {best}"
        again[node_id].take(task_class, 1, 1)
        turns[node_id] = turn


def busiest_share(node: Node) -> float:
    """Return how full the fullest resource of a node is."""
    free = sc.free_of(node, node.load, 1)
    return max(1.0 - free[name] / total for name, total in node.capacity.items() if total > 0)


def surplus(node: Node, task_class: TaskClass, sought: set[tuple[str, str]]) -> int:
    """Return how many capabilities, special resources and labels that others ask for a
    node has beyond the asked."""
    labels = (sought & set(node.labels.items())) - set(task_class.labels)
    special = {name for name, amount in node.capacity.items() if amount and name not in ("cpu", "memory_mb")}
    unasked = special - {name for name, _ in task_class.demand}
    return len(node.capabilities - set(task_class.capabilities)) + len(unasked) + len(labels)


class Known(NamedTuple):
    """What a choice may depend on beside the node: when nodes were given something, and the
    labels that are asked for."""

    turns: dict[str, int]
    sought: set[tuple[str, str]]


# What each strategy says it takes the least of.
WORDS: dict[str, Callable[[Node, TaskClass, Known], float]] = {
    "round_robin": lambda node, task_class, known: known.turns.get(node.id, 0),
    "load_balanced": lambda node, task_class, known: busiest_share(node),
    "capability_based": lambda node, task_class, known: surplus(node, task_class, known.sought),
    "pack": lambda node, task_class, known: -busiest_share(node),
    "spread": lambda node, task_class, known: sum(node.load.values()),
}


def test_every_strategy_has_words() -> None:
    """One that is added has to be judged here."""
    assert set(WORDS) == set(STRATEGIES)


@EXAMPLES
@given(sc.nodes(), sc.waiting(), st.sampled_from((*STRATEGIES,)), st.data())
def test_an_index_that_was_kept_plans_as_a_fresh_one(
    nodes: list[Node], waiting: sc.Waiting, strategy: str, data: st.DataObject
) -> None:
    """After any changes of the nodes, a fleet that lived through them and one made of the
    outcome give the same plan."""
    kept = Fleet(sc.copy_of(nodes), prefetch_of(1))
    rules = Rules(strategy=strategy, quotas=waiting.quotas)
    place(kept, waiting.ready, rules, NOW, data.draw(st.integers(0, 6)))
    for _ in range(data.draw(st.integers(0, 6))):
        node = kept.nodes[data.draw(st.sampled_from(sorted(kept.nodes)))]
        change = data.draw(st.sampled_from(("close", "open", "foreign", "load", "again")))
        if change == "close":
            node.unschedulable = "draining"
            kept.changed(node)
        elif change == "open":
            node.unschedulable = ""
            kept.changed(node)
        elif change == "foreign":
            node.external_usage = {"cpu": data.draw(st.sampled_from((0.5, 1.0)))}
            kept.changed(node)
        elif change == "load":
            kept.reload(node, data.draw(st.dictionaries(sc.task_classes(), st.integers(1, 2), max_size=2)))
        else:
            kept.add(sc.copy_of([node])[0])
        if data.draw(st.booleans()):
            place(kept, waiting.ready, rules, NOW, 1)
    fresh_nodes = sc.copy_of(list(kept.nodes.values()))
    for node in fresh_nodes:
        node.turn = kept.nodes[node.id].turn
    fresh = Fleet(fresh_nodes, prefetch_of(1))
    assert fresh.slots == kept.slots
    one = place(kept, waiting.ready, rules, NOW, 1000)
    other = place(fresh, waiting.ready, rules, NOW, 1000)
    assert one == other
    assert {n.id: n.load for n in kept.nodes.values()} == {n.id: n.load for n in fresh.nodes.values()}


@EXAMPLES
@given(sc.nodes(), st.lists(sc.task_classes(), min_size=1, max_size=3), st.integers(0, 3), st.data())
def test_preemption_stops_only_what_it_must(
    nodes: list[Node], running: list[TaskClass], level: int, data: st.DataObject
) -> None:
    """Victims are less urgent, make room together, and none of them can be left out."""
    urgent = data.draw(sc.task_classes())
    on_node: dict[str, list[RunningAttempt]] = {}
    for node in nodes:
        node.load = {}
        for i, task_class in enumerate(running):
            node.load[task_class] = node.load.get(task_class, 0) + 1
            on_node.setdefault(node.id, []).append(
                RunningAttempt(f"{node.id}-{i}", 1, i % 3, float(i), task_class)
            )
        node.recompute(prefetch_of(1))
    for node in nodes:
        if not (sc.suits(node, urgent) and node.could_ever_run(urgent)) or node.fits(urgent):
            continue
        victims = victims_on(node, urgent, level, lambda node_id: on_node[node_id])
        lower = [item for item in on_node[node.id] if item.level < level]
        if victims is None:
            assert not room_without(node, urgent, lower), "there was room to be made"
            continue
        assert {victim.level for victim in victims} <= set(range(level))
        assert room_without(node, urgent, victims)
        for item in victims:
            assert not room_without(node, urgent, [v for v in victims if v is not item])


def test_room_is_made_where_more_of_a_device_is_in_use_than_there_is() -> None:
    """A share of a GPU that is promised twice leaves a gap in name only: room comes of
    stopping what is promised."""

    def asking(gpu: float) -> TaskClass:
        return sc.class_of({"type": "testing", "run": sc.RUN, "resources": {"cpu": 0, "gpu": gpu}})

    for running, external_usage, urgent in (((0.1, 0.5, 0.5), {}, 0.1), ((0.7,), {"gpu": 0.5}, 0.3)):
        on_node = [RunningAttempt(f"t{i}", 1, 0, float(i), asking(gpu)) for i, gpu in enumerate(running)]
        node = Node(
            "n",
            {"cpu": 4.0, "gpu": 1.0},
            load=Counter(item.task_class for item in on_node),
            external_usage=external_usage,
        )
        node.recompute(prefetch_of(1))
        assert not node.fits(asking(urgent))
        assert [unmet.dimension for unmet in unmet_constraints(node, asking(urgent))] == ["resources.gpu"]
        victims = victims_on(node, asking(urgent), 2, lambda _, on_node=on_node: on_node)
        assert victims is not None
        assert room_without(node, asking(urgent), victims)


def room_without(node: Node, task_class: TaskClass, victims: list[RunningAttempt]) -> bool:
    """Say whether a class fits on a node once these are gone."""
    load = Counter(node.load)
    load.subtract(victim.task_class for victim in victims)
    return sc.fits(node, {g: count for g, count in load.items() if count > 0}, task_class)


def test_two_projects_share_evenly_and_by_weight() -> None:
    """However many tasks one of them has submitted, and first."""
    for weights, expected in (
        ({}, {"red": 6, "blue": 6}),
        ({"red": Quota(weight=2.0)}, {"red": 8, "blue": 4}),
    ):
        nodes = [Node(f"n{i}", {"cpu": 4.0}) for i in range(3)]
        ready = {}
        for project, count, created in (("red", 5000, 0.0), ("blue", 50, 40.0)):
            task_class = sc.class_of({"type": "testing", "run": sc.RUN, "project_id": project})
            queue = ready[task_class] = ReadyQueue()
            for i in range(count):
                queue.add(f"{project}-{i}", 1, created, first=False)
        plan = place(Fleet(nodes, prefetch_of(1)), ready, Rules(quotas=weights), NOW, 1000)
        assert Counter(task_id.partition("-")[0] for task_id, _ in plan.pairs) == expected
