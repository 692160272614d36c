"""Facts about quotas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class QuotaSet:
    """The quota and the weight of a project (`id`) were set; no limits and a weight of 1 are the default."""

    id: str
    limits: dict[str, float]
    weight: float = 1.0
