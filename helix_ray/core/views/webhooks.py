"""Webhooks as questions are answered with them, without their secrets. Times are epoch seconds."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.state import State
from helix_ray.core.webhooks import FilterRecord, Webhook, WebhookStatus

OWNER_MAY_NOT = "Its owner has no role that allows webhooks; what it would be told is held meanwhile"


class WebhookView(TypedDict):
    """One webhook, which is `paused` too while its owner may not have one. `headers` are names; `owner` is a
    user name. `rotated_until`: until when secrets that were replaced sign as well. `held_from`: the seq from
    which on messages are held."""

    id: str
    name: str
    owner: str
    owner_id: str
    url: str
    filter: FilterRecord
    headers: list[str]
    has_ca: bool
    projects: list[str] | None
    status: str
    reason: str | None
    status_at: float
    held_from: int | None
    since: int
    delivered_through: int
    rotated_until: float | None
    created_at: float
    updated_at: float


class WebhooksView(TypedDict):
    """Webhooks, the oldest first."""

    webhooks: list[WebhookView]


class HearerView(TypedDict):
    """Who a webhook hears as: its owner, with roles and projects as they are now."""

    id: str
    name: str
    roles: list[str]
    projects: list[str] | None


class SigningSecretView(TypedDict):
    """A signing secret, and until when it signs; None: it is the current one."""

    secret: str
    until: float | None


class BoardHookView(TypedDict):
    """A webhook for who delivers, with its secrets, the newest signing secret first.

    Everything through `mark_seq` is delivered, and `mark_number` is the number of the last message. Without
    an `owner`, who is gone or may not have webhooks any more, it is held.
    """

    id: str
    owner: HearerView | None
    url: str
    filter: FilterRecord
    secret: str
    signing_secrets: list[SigningSecretView]
    headers: dict[str, str]
    ca: str | None
    status: str
    since: int
    mark_seq: int
    mark_number: int


class WebhookBoardView(TypedDict):
    """All webhooks as of fact `seq`."""

    seq: int
    webhooks: list[BoardHookView]


def webhook_view(state: State, webhook: Webhook, now: float, *, is_heard: bool) -> WebhookView:
    """Return a webhook without its secrets; `is_heard`: whether its owner may have one."""
    owner = state.users.get(webhook.owner)
    status: WebhookStatus = webhook.status
    reason = webhook.reason
    if status == "active" and not is_heard:
        status, reason = "paused", OWNER_MAY_NOT
    return {
        "id": webhook.id,
        "name": webhook.name,
        "owner": webhook.owner if owner is None else owner.username,
        "owner_id": webhook.owner,
        "url": webhook.url,
        "filter": webhook.filter,
        "headers": list(webhook.headers),
        "has_ca": webhook.ca is not None,
        "projects": webhook.projects,
        "status": status,
        "reason": reason,
        "status_at": webhook.status_at,
        "held_from": webhook.held_from,
        "since": webhook.since,
        "delivered_through": max(webhook.mark_seq, webhook.since),
        "rotated_until": max((each["until"] for each in webhook.rotated_at(now)), default=None),
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }
