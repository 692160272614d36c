"""Orders about what a project may hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from helix_ray.core.access import ADMINS
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class SetQuota(OrderKind):
    """Bound what a project may hold at once (resource name, `tasks` or `queued` ->
    amount), and weigh its share."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    limits: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0
