"""Facts about quotas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class QuotaSet:
    """A project (`id`) may hold so much at once, and has so much weight; no limits and a weight of 1: as all others."""

    id: str
    limits: dict[str, float]
    weight: float = 1.0
