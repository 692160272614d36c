"""How to choose among the nodes that fit: one score a strategy, and the lowest goes first.

A strategy is *steady* when giving a node work never improves its score: its candidates can then be judged again
when they come up, and not whenever something has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helix_ray.core.placement.node import Node
from helix_ray.core.state import TaskClass

Score = tuple[float, ...]
# Every node has these: having more than is asked for says nothing about how special it is.
COMMON_RESOURCES = frozenset({"cpu", "memory_mb", "gpu_memory_mb"})


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to order nodes; `summary` is for people."""

    name: str
    summary: str
    score: Callable[[Node, TaskClass], Score]
    steady: bool = True


def _by_turn(node: Node, group: TaskClass) -> Score:
    return (node.turn,)


def _by_utilisation(node: Node, group: TaskClass) -> Score:
    return (node.utilisation(),)


def _by_surplus(node: Node, group: TaskClass) -> Score:
    asked = {name for name, _ in group.demand}
    unasked = sum(
        1
        for name, amount in node.capacity.items()
        if amount > 0 and name not in COMMON_RESOURCES and name not in asked
    )
    return (unasked + len(node.capabilities) - len(group.capabilities), node.utilisation())


def _fullest(node: Node, group: TaskClass) -> Score:
    return (-node.utilisation(),)


def _by_tasks(node: Node, group: TaskClass) -> Score:
    return (node.tasks, node.utilisation())


DEFAULT = "load_balanced"
STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("round_robin", "the node that was given work longest ago", _by_turn),
        Strategy("load_balanced", "the node whose fullest resource is in use least", _by_utilisation),
        Strategy(
            "capability_based",
            "the node with the fewest capabilities and devices beyond the asked",
            _by_surplus,
        ),
        Strategy("pack", "the fullest node that still has room", _fullest, steady=False),
        Strategy("spread", "the node with the fewest tasks", _by_tasks),
    )
}
