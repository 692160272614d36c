"""Answers questions about webhooks."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal, may
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.orders import CreateWebhook
from helix_ray.core.state import State
from helix_ray.core.views.webhooks import (
    BoardHookView,
    HearerView,
    SigningSecretView,
    WebhookBoardView,
    WebhooksView,
    WebhookView,
    webhook_view,
)
from helix_ray.core.visibility import sees_webhook
from helix_ray.core.webhooks import Webhook, roles_now


def _list_webhooks(picture: Picture, question: q.ListWebhooks, by: Principal) -> WebhooksView:
    """The caller's own, and for administrators all."""
    seen = (each for each in picture.state.webhooks.values() if sees_webhook(picture.state, by, each))
    return {"webhooks": [_shown(picture, each) for each in seen]}


def _get_webhook(picture: Picture, question: q.GetWebhook, by: Principal) -> WebhookView | Rejected:
    webhook = picture.state.webhooks.get(question.webhook_id)
    if webhook is None or not sees_webhook(picture.state, by, webhook):
        return not_found("Webhook", question.webhook_id)
    return _shown(picture, webhook)


def _shown(picture: Picture, webhook: Webhook) -> WebhookView:
    is_heard = _hearer(picture.state, webhook) is not None
    return webhook_view(picture.state, webhook, picture.now, is_heard=is_heard)


def _board(picture: Picture, question: q.WebhookBoard, by: Principal) -> WebhookBoardView:
    state = picture.state
    return {
        "seq": state.seq,
        "webhooks": [_on_board(state, each, picture.now) for each in state.webhooks.values()],
    }


def _on_board(state: State, webhook: Webhook, now: float) -> BoardHookView:
    current: SigningSecretView = {"secret": webhook.signing_secret, "until": None}
    rotated: list[SigningSecretView] = [
        {"secret": each["signing_secret"], "until": each["until"]} for each in webhook.rotated_at(now)
    ]
    return {
        "id": webhook.id,
        "owner": _hearer(state, webhook),
        "url": webhook.url,
        "filter": webhook.filter,
        "secret": webhook.secret,
        "signing_secrets": [current, *rotated],
        "headers": webhook.headers,
        "ca": webhook.ca,
        "status": webhook.status,
        "since": webhook.since,
        "mark_seq": webhook.mark_seq,
        "mark_number": webhook.mark_number,
    }


def _hearer(state: State, webhook: Webhook) -> HearerView | None:
    """Return who a webhook hears as now; None where its owner may not have one."""
    owner = state.users.get(webhook.owner)
    if owner is None:
        return None
    roles = roles_now(webhook, owner.roles)
    if not may(Principal(owner.id, owner.username, roles), CreateWebhook):
        return None
    return {"id": owner.id, "name": owner.username, "roles": list(roles), "projects": webhook.projects}


WEBHOOK_ANSWERS: Answerers = {
    q.ListWebhooks: _list_webhooks,
    q.GetWebhook: _get_webhook,
    q.WebhookBoard: _board,
}
