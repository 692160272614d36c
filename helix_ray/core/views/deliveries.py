"""Deliveries of webhooks, as questions are answered with them. Times are epoch seconds."""

from __future__ import annotations

from typing import TypedDict


class TryView(TypedDict):
    """One try: when it began, how long it took, and the class and reason of its failure."""

    number: int
    at: float
    seconds: float
    status: int | None
    failure: str | None
    reason: str
    address: str | None
    headers: list[tuple[str, str]]
    body: str


class RequestView(TypedDict):
    """A request as it is sent, with secrets masked."""

    url: str
    headers: list[tuple[str, str]]
    body: str


class DeliveryView(TypedDict):
    """What became of one message. `id` is the webhook-id, `seq` names the delivery within its webhook, and
    `number` is its place among the webhook's messages, from the first try on.

    `reason` is why it was dropped, or the class of its last failure. `request` and `history`, with all tries,
    are given for a single delivery only.
    """

    id: str
    webhook_id: str
    seq: int
    number: int | None
    event: str
    status: str
    tries: int
    next_try_at: float | None
    ended_at: float | None
    reason: str | None
    last_try: TryView | None
    request: RequestView | None
    history: list[TryView] | None


class StandingView(TypedDict):
    """Where a webhook stands: its messages by status, how many were held while it was paused or off, since
    when it has had nothing but failures, and when it is switched off for that. What it wants of the facts
    after `unread_after` is no message yet; None where there is no such fact."""

    messages: dict[str, int]
    held: int | None
    unread_after: int | None
    failing_since: float | None
    off_at: float | None
    quiet_until: float | None


class DeliveriesView(TypedDict):
    """Deliveries of a webhook, newest first; `next` is the `before` of the next page."""

    webhook_id: str
    standing: StandingView
    deliveries: list[DeliveryView]
    next: int | None


def no_deliveries(webhook_id: str) -> DeliveriesView:
    """Return the page of a webhook that was never told anything."""
    standing: StandingView = {
        "messages": {}, "held": 0, "unread_after": None, "failing_since": None, "off_at": None,
        "quiet_until": None,
    }  # fmt: skip
    return {"webhook_id": webhook_id, "standing": standing, "deliveries": [], "next": None}
