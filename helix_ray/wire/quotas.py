"""Quotas in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.decide.quotas import LIMITS_MAX, WEIGHT_MAX
from helix_ray.core.spec_shape import AMOUNT_MAX
from helix_ray.wire.values import CLOSED, Word, adapter, strict


@with_config(strict(limits={"cpu": 16, "gpu": 2, "tasks": 100, "queued": 10_000}, weight=2))
class QuotaIn(TypedDict, total=False):
    """What a project may use at a time, by resource name; `tasks` limits running tasks,
    `queued` unfinished ones, `stored_mb` what its models and data sets take."""

    limits: Annotated[dict[Word, Annotated[float, Field(ge=0, le=AMOUNT_MAX)]], Field(max_length=LIMITS_MAX)]
    weight: Annotated[float, Field(gt=0, le=WEIGHT_MAX)]


@with_config(CLOSED)
class QuotaOut(TypedDict):
    """A project's limits and its use: resources, queued tasks, and its dominant share of the cluster."""

    project_id: str
    limits: dict[str, float]
    weight: float
    used: dict[str, float]
    queued: int
    share: float


@with_config(CLOSED)
class QuotasOut(TypedDict):
    """Quotas and use of projects."""

    quotas: list[QuotaOut]


@with_config(CLOSED)
class QuotaSetOut(TypedDict):
    """The quota that was set."""

    project_id: str
    limits: dict[str, float]
    weight: float


QUOTA: TypeAdapter[QuotaIn] = adapter(QuotaIn)
