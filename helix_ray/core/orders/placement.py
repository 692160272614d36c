"""Orders about placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from helix_ray.core.access import WRITERS, Tokens
from helix_ray.core.orders.kind import OrderKind
from helix_ray.core.views.placement import PlanFields


class DistributedData(TypedDict):
    """The nodes on which a task, or its shards, were started."""

    id: str
    assigned_nodes: list[str]


class PlannedData(PlanFields, DistributedData):
    """The same with the order's plan, where it has one."""


@dataclass(frozen=True, slots=True)
class DistributeTask(OrderKind[DistributedData]):
    """Start a task (or its shards) on given nodes: (task id, worker id) pairs from PlanTask.

    The task then keeps `strategy` and the additional `capabilities`. `plan` is returned in the receipt, so
    that a repeated request gets the first answer.
    """

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    task_id: str
    pairs: tuple[tuple[str, str], ...]
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    plan: PlanFields | None = None
