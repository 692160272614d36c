"""How to choose among the nodes that fit: one score a strategy, and the lowest goes first.

A strategy is *steady* when giving a node work never improves its score: its candidates can then be judged
again when they come up, and not after every change. `fixed` is the part of the score that does not depend on
the load of the node: it is computed once per node and heap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helix_ray.core.placement.node import Node
from helix_ray.core.state import TaskClass
from helix_ray.core.strategy_names import Name

Score = tuple[float, ...]
# Every node has these: having more of them than is asked for does not make a node special.
COMMON_RESOURCES = frozenset({"cpu", "memory_mb", "gpu_memory_mb"})


def _nothing(node: Node, task_class: TaskClass) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named order of nodes. `summary` is for users; `score` takes a node and the
    fixed part of its score."""

    name: Name
    summary: str
    score: Callable[[Node, float], Score]
    fixed: Callable[[Node, TaskClass], float] = _nothing
    steady: bool = True


def _by_turn(node: Node, fixed: float) -> Score:
    return (node.turn,)


def _by_utilisation(node: Node, fixed: float) -> Score:
    return (node.utilisation(),)


def surplus(node: Node, task_class: TaskClass) -> float:
    """Return how many special things a node has that a class does not ask for and other classes may: devices,
    custom resources, capabilities, and labels that some task has asked for."""
    beyond = len(node.capabilities) - len(task_class.capabilities)
    # Loops: sums over generators take twice as long, and this runs for every node when a heap is built.
    for name, amount in node.capacity.items():
        if name not in COMMON_RESOURCES and amount > 0 and name not in dict(task_class.demand):
            beyond += 1
    for pair in node.sought:
        if pair not in task_class.labels:
            beyond += 1
    return beyond


def _by_surplus(node: Node, fixed: float) -> Score:
    return (fixed, node.utilisation())


def _fullest(node: Node, fixed: float) -> Score:
    return (-node.utilisation(),)


def _by_tasks(node: Node, fixed: float) -> Score:
    return (node.tasks, node.utilisation())


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("round_robin", "the node that was assigned work least recently", _by_turn),
        Strategy("load_balanced", "the node whose most used resource is used least", _by_utilisation),
        Strategy(
            "capability_based",
            "the node with the fewest extra capabilities and devices that other tasks need, then the "
            "least used one",
            _by_surplus,
            surplus,
        ),
        Strategy("pack", "the most used node that still fits the task", _fullest, steady=False),
        Strategy("spread", "the node with the fewest tasks", _by_tasks),
    )
}
