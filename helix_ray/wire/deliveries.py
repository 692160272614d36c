"""Deliveries of webhooks in JSON."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.deliveries import DELIVERIES_MAX
from helix_ray.core.views.deliveries import DeliveriesView, DeliveryView, RequestView, TryView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, SEQ_MAX

Status = Literal["waiting", "sending", "delivered", "failed", "dropped"]


class DeliveriesQuery(BaseModel):
    """The query of a listing of deliveries."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = Field(None, description="The only status to list.")
    before: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = Field(
        None, description="Only deliveries with a smaller seq: that of the last one of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=DELIVERIES_MAX)] = Field(
        50, description="How many deliveries at most."
    )


@with_config(CLOSED)
class TryOut(TypedDict):
    """One try. `failure` is the class of its failure; `body` is the first 4 KiB of the response."""

    number: int
    at: str
    seconds: float
    status: int | None
    failure: Annotated[str | None, Field(examples=["timeout"])]
    reason: str
    address: str | None
    headers: list[list[str]]
    body: str


@with_config(CLOSED)
class RequestOut(TypedDict):
    """The request, with secrets masked."""

    url: str
    headers: list[list[str]]
    body: str


@with_config(CLOSED)
class DeliveryOut(TypedDict):
    """What became of one message; `id` is its webhook-id. `request` and `history` are those of a single
    delivery."""

    id: Annotated[str, Field(examples=["msg_Zm9vYmFyYmF6"])]
    webhook_id: str
    seq: int
    number: int | None
    event: Annotated[str, Field(examples=["task.completed"])]
    status: Status
    tries: int
    next_try_at: str | None
    ended_at: str | None
    reason: str | None
    last_try: TryOut | None
    request: NotRequired[RequestOut | None]
    history: NotRequired[list[TryOut]]


@with_config(CLOSED)
class StandingOut(TypedDict):
    """Messages by status, how many are held (null while the owner may have no webhooks), and since when
    everything fails. Events after `unread_after` are still in the journal (null: none are)."""

    messages: dict[str, int]
    held: int | None
    unread_after: int | None
    failing_since: str | None
    off_at: str | None
    quiet_until: str | None


@with_config(CLOSED)
class DeliveriesOut(TypedDict):
    """A page of deliveries, newest first; `next` is the `before` of the next page."""

    webhook_id: str
    standing: StandingOut
    deliveries: list[DeliveryOut]
    next: int | None


def deliveries_out(view: DeliveriesView) -> DeliveriesOut:
    """Return a page of deliveries as JSON values."""
    standing = view["standing"]
    return {
        "webhook_id": view["webhook_id"],
        "standing": {
            "messages": standing["messages"],
            "held": standing["held"],
            "unread_after": standing["unread_after"],
            "failing_since": iso_or_none(standing["failing_since"]),
            "off_at": iso_or_none(standing["off_at"]),
            "quiet_until": iso_or_none(standing["quiet_until"]),
        },
        "deliveries": [_delivery_out(one) for one in view["deliveries"]],
        "next": view["next"],
    }


def delivery_out(view: DeliveryView) -> DeliveryOut:
    """Return a single delivery as JSON values."""
    request, history = view["request"], view["history"] or []
    return {
        **_delivery_out(view),
        "request": None if request is None else _request_out(request),
        "history": [_try_out(one) for one in history],
    }


def _delivery_out(view: DeliveryView) -> DeliveryOut:
    last = view["last_try"]
    status: Status = view["status"]  # type: ignore[assignment]  # one of STATES
    return {
        "id": view["id"],
        "webhook_id": view["webhook_id"],
        "seq": view["seq"],
        "number": view["number"],
        "event": view["event"],
        "status": status,
        "tries": view["tries"],
        "next_try_at": iso_or_none(view["next_try_at"]),
        "ended_at": iso_or_none(view["ended_at"]),
        "reason": view["reason"],
        "last_try": None if last is None else _try_out(last),
    }


def _request_out(view: RequestView) -> RequestOut:
    return {"url": view["url"], "headers": [[*pair] for pair in view["headers"]], "body": view["body"]}


def _try_out(view: TryView) -> TryOut:
    return {
        "number": view["number"],
        "at": iso(view["at"]),
        "seconds": view["seconds"],
        "status": view["status"],
        "failure": view["failure"],
        "reason": view["reason"],
        "address": view["address"],
        "headers": [[*pair] for pair in view["headers"]],
        "body": view["body"],
    }
