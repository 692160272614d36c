"""Erasures on the wire: what concerns whom, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.decide.erasures import ERASURE_REASON_CHARS_MAX, ERASURE_SUBJECTS_MAX
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import Id, adapter, strict

Ids = Annotated[list[Id], Field(max_length=ERASURE_SUBJECTS_MAX)]


@with_config(strict(tasks=["task-123"], users=[], reason="Request 4711 of its author"))
class ErasureIn(TypedDict):
    """What is to be erased: `tasks` and `users` by id. `reason` stays on record for good."""

    tasks: NotRequired[Ids]
    users: NotRequired[Ids]
    reason: Annotated[str, Field(min_length=1, max_length=ERASURE_REASON_CHARS_MAX)]


class ErasureOut(BaseModel):
    """An erasure. `copies` are files beside the journal that may still have what was erased."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(examples=["erasure-123"])
    status: Literal["pending", "completed"]
    tasks: list[str]
    users: list[str]
    reason: str
    requested_by: str = Field(examples=["user-123"])
    requested_at: str
    completed_at: str | None
    facts_erased: int
    facts_kept: int
    copies: list[str]


class ErasuresOut(BaseModel):
    """Erasures, the newest first."""

    model_config = ConfigDict(extra="forbid")

    erasures: list[ErasureOut]


ERASURE = adapter(ErasureIn)


def erasure_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return an erasure's view with its times as text."""
    requested_at, completed_at = iso(view["requested_at"]), iso_or_none(view["completed_at"])
    return {**view, "requested_at": requested_at, "completed_at": completed_at}
