"""Erasures on the wire: what concerns whom, and how far it is."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.decide.erasures import ERASURE_REASON_CHARS_MAX, ERASURE_SUBJECTS_MAX
from helix_ray.core.views.erasures import ErasureView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, Id, adapter, strict

Ids = Annotated[list[Id], Field(max_length=ERASURE_SUBJECTS_MAX)]


@with_config(strict(tasks=["task-123"], users=[], reason="Request 4711 of its author"))
class ErasureIn(TypedDict):
    """What is to be erased: `tasks` and `users` by id. `reason` stays on record for good."""

    tasks: NotRequired[Ids]
    users: NotRequired[Ids]
    reason: Annotated[str, Field(min_length=1, max_length=ERASURE_REASON_CHARS_MAX)]


@with_config(CLOSED)
class ErasureOut(TypedDict):
    """An erasure. `copies` are files beside the journal that may still have what was erased."""

    id: Annotated[str, Field(examples=["erasure-123"])]
    status: Literal["pending", "completed"]
    tasks: list[str]
    users: list[str]
    reason: str
    requested_by: Annotated[str, Field(examples=["user-123"])]
    requested_at: str
    completed_at: str | None
    facts_erased: int
    facts_kept: int
    copies: list[str]


@with_config(CLOSED)
class ErasuresOut(TypedDict):
    """Erasures, the newest first."""

    erasures: list[ErasureOut]


ERASURE: TypeAdapter[ErasureIn] = adapter(ErasureIn)


def erasure_out(view: ErasureView) -> ErasureOut:
    """Return an erasure's view with its times as text."""
    requested_at, completed_at = iso(view["requested_at"]), iso_or_none(view["completed_at"])
    return {**view, "requested_at": requested_at, "completed_at": completed_at}
