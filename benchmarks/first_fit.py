"""The naive scheduler beside ours: for each task it looks at the nodes in their order and
takes the first that fits."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.trace import Waiting
from helix_ray.core.placement import Node
from helix_ray.core.state import TaskClass


class FirstFit:
    """Nodes in a fixed order; nothing is remembered between two tasks."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = list(nodes)
        for node in self.nodes:
            node.recompute(one_a_slot)

    def find(self, task_class: TaskClass) -> Node | None:
        """Return the first node with room for a task."""
        for node in self.nodes:
            if node.suits(task_class) and node.fits(task_class):
                return node
        return None

    def place(self, tasks: Iterable[Waiting]) -> list[tuple[Waiting, Node]]:
        """Place what fits, task by task."""
        placed = []
        for task in tasks:
            node = self.find(task.task_class)
            if node is not None:
                node.take(task.task_class, 1, 1)
                placed.append((task, node))
        return placed

    def fill(self, tasks: Iterable[Waiting]) -> list[tuple[Waiting, Node]]:
        """Place what fits while nothing ends: as `place` would, but no node that was
        full is looked at again."""
        placed = []
        first: dict[tuple[object, ...], int] = {}
        for task in tasks:
            shape = task.task_class[2:5]
            at = first.get(shape, 0)
            while at < len(self.nodes):
                node = self.nodes[at]
                if node.suits(task.task_class) and node.fits(task.task_class):
                    node.take(task.task_class, 1, 1)
                    placed.append((task, node))
                    break
                at += 1
            first[shape] = at
        return placed


def one_a_slot(task_class: TaskClass) -> int:
    """Return a prefetch of 1, as the scheduler has for tasks that are not very short."""
    return 1
