"""Why a task does not fit, as data: per node the unmet constraints and by how much, and
the smallest change that helps.

An *unmet constraint* is one dimension of one node. It is *never* met if the empty node would not meet it
either; otherwise the task is waiting for it. The smallest change is the set of unmet constraints of the node
that has the fewest: every other node has at least as many, so no part of that change can be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from helix_ray.core.placement.changes import Change, Reduce
from helix_ray.core.placement.fit import DRAINING
from helix_ray.core.placement.node import EPSILON, FREE_SLOTS_MAX, Node
from helix_ray.core.state import TaskClass

# Decimals of the amounts shown: Ray counts in ten-thousandths.
DECIMALS = 4
ROUNDING = 1e-5


class UnmetView(TypedDict):
    """One unmet constraint as JSON values; `kind` is never or waiting."""

    dimension: str
    asked: str | float | bool
    has: str | float | bool | None
    deficit: float | None
    kind: str


@dataclass(frozen=True, slots=True)
class UnmetConstraint:
    """One reason why a class does not fit on a node. `deficit` is None if the dimension has no amount."""

    dimension: str
    asked: Any
    has: Any
    deficit: float | None
    never: bool

    def view(self) -> UnmetView:
        """Return it as JSON values."""
        return {
            "dimension": self.dimension,
            "asked": self.asked,
            "has": self.has,
            "deficit": self.deficit,
            "kind": "never" if self.never else "waiting",
        }


def unmet_constraints(node: Node, task_class: TaskClass, prefetch: int = 1) -> list[UnmetConstraint]:
    """Return every constraint of a class that a node does not meet now; empty if the class fits."""
    found = [*_unschedulable(node), *_capabilities(node, task_class), *_labels(node, task_class)]
    if node.rest(task_class, prefetch) == 0:
        found += _resources(node, task_class)
    return found


def _unschedulable(node: Node) -> Iterable[UnmetConstraint]:
    if node.unschedulable:
        yield UnmetConstraint("node", "open", node.unschedulable, None, never=False)


def _capabilities(node: Node, task_class: TaskClass) -> Iterable[UnmetConstraint]:
    for name in task_class.capabilities:
        if name not in node.capabilities:
            yield UnmetConstraint(f"capabilities.{name}", True, False, None, never=True)


def _labels(node: Node, task_class: TaskClass) -> Iterable[UnmetConstraint]:
    for name, value in task_class.labels:
        if node.labels.get(name) != value:
            yield UnmetConstraint(f"labels.{name}", value, node.labels.get(name), None, never=True)


def _resources(node: Node, task_class: TaskClass) -> Iterable[UnmetConstraint]:
    if not task_class.demand and node.bare_slots >= FREE_SLOTS_MAX:
        yield UnmetConstraint("lanes", 1, 0, 1.0, never=False)
    for name, amount in task_class.demand:
        if node.lacks(name, amount):
            free, total = node.largest(name), node.capacity.get(name, 0.0)
            never = total + EPSILON < amount
            has = total if never else max(0.0, free)
            yield UnmetConstraint(f"resources.{name}", amount, _rounded(has), _rounded(amount - has), never)


def _rounded(amount: float) -> float:
    return round(amount, DECIMALS)


def changes_for(node: Node, task_class: TaskClass, found: Sequence[UnmetConstraint]) -> list[Change] | None:
    """Return the changes to a task that would make it fit on a node now; None if it can only wait."""
    changes: list[Change] = []
    for unmet in found:
        kind, _, name = unmet.dimension.partition(".")
        if kind == "capabilities":
            changes.append({"change": "drop_capability", "name": name})
        elif kind == "labels":
            changes.append({"change": "drop_label", "name": name, "value": unmet.asked})
        elif kind == "resources":
            changes.append(_reduction(node, name, unmet))
        elif kind == "node" and unmet.has == DRAINING:
            changes.append({"change": "undrain", "node": node.id})
        else:
            return None
    return changes


def _reduction(node: Node, name: str, unmet: UnmetConstraint) -> Reduce:
    # Rounded down, so that the reduced amount is really free.
    to = max(0.0, int(node.largest(name) * 10**DECIMALS + ROUNDING) / 10**DECIMALS)
    return {"change": "reduce", "resource": name, "to": to, "by": _rounded(unmet.asked - to)}


def smallest_change(
    judged: Iterable[tuple[Node, Sequence[UnmetConstraint]]], task_class: TaskClass
) -> tuple[Node, list[Change]] | None:
    """Return the node that needs the fewest changes (then the smallest ones), and the changes;
    None if there is none.

    `judged` are nodes with all their unmet constraints.
    """
    best: tuple[tuple[int, float, int], Node, list[Change]] | None = None
    for node, found in judged:
        if best is not None and len(found) > best[0][0]:
            # Each unmet constraint costs one change: this node cannot be better.
            continue
        changes = changes_for(node, task_class, found)
        if changes is None:
            continue
        cost = (len(changes), _weight(changes, found), node.order)
        if best is None or cost < best[0]:
            best = (cost, node, changes)
    return None if best is None else (best[1], best[2])


def _weight(changes: Sequence[Change], found: Sequence[UnmetConstraint]) -> float:
    """Return how much of the request is given up: the sum of fractions, with 1 for
    a constraint without an amount."""
    return sum(
        change["by"] / unmet.asked if change["change"] == "reduce" else 1.0
        for change, unmet in zip(changes, found, strict=True)
    )


def changed_class(task_class: TaskClass, changes: Iterable[Change]) -> TaskClass:
    """Return the class of a task after these changes."""
    demand, capabilities, labels = (
        dict(task_class.demand),
        list(task_class.capabilities),
        dict(task_class.labels),
    )
    for change in changes:
        if change["change"] == "drop_capability" and change["name"] in capabilities:
            capabilities.remove(change["name"])
        elif change["change"] == "drop_label":
            labels.pop(change["name"], None)
        elif change["change"] == "reduce":
            demand[change["resource"]] = change["to"]
    return task_class._replace(
        demand=tuple(sorted((name, amount) for name, amount in demand.items() if amount)),
        capabilities=tuple(capabilities),
        labels=tuple(sorted(labels.items())),
    )
