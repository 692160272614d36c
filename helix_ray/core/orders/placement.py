"""Orders about where work goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.access import WRITERS, Tokens
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class DistributeTask(OrderKind):
    """Start a task (or its shards) on nodes that somebody chose: (task id, worker id)
    pairs as PlanTask gave them.

    From then on `strategy` and `capabilities` (beside those that it asks for already) hold for it. What is
    `plan` is returned in the receipt, so that a repeated request gets the first answer.
    """

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    task_id: str
    pairs: tuple[tuple[str, str], ...]
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
