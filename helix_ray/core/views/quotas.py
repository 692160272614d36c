"""Quotas as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict


class QuotaView(TypedDict):
    """A project's limits, and what it uses: resources, queued tasks, its dominant share of the cluster."""

    project_id: str
    limits: dict[str, float]
    weight: float
    used: dict[str, float]
    queued: int
    share: float


class QuotasView(TypedDict):
    """Quotas and use of projects."""

    quotas: list[QuotaView]
