"""Orders about quotas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from helix_ray.core.access import OPERATORS
from helix_ray.core.orders.kind import OrderKind


class QuotaData(TypedDict):
    """The quota that was set."""

    project_id: str
    limits: dict[str, float]
    weight: float


@dataclass(frozen=True, slots=True)
class SetQuota(OrderKind[QuotaData]):
    """Set the quota of a project (resource name, `tasks`, `queued` or `stored_mb` -> amount), and
    the weight of its share."""

    allowed = OPERATORS
    needs_key = True

    project_id: str
    limits: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0
