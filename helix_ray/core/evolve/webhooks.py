"""Folds facts about webhooks."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.sessions import drop_from
from helix_ray.core.state import State
from helix_ray.core.webhooks import ROTATED_KEPT_MAX, RotatedSecret, Webhook, WebhookStatus


def index_webhook(state: State, webhook: Webhook) -> None:
    """Index a webhook by its owner."""
    state.webhooks_of.setdefault(webhook.owner, {})[webhook.id] = None


def end_webhooks(state: State, user_id: str) -> None:
    """Delete all webhooks of a user."""
    for webhook_id in list(state.webhooks_of.get(user_id, ())):
        _end(state, webhook_id)


def _end(state: State, webhook_id: str) -> None:
    webhook = state.webhooks.pop(webhook_id)
    drop_from(state.webhooks_of, webhook.owner, webhook_id)


def _created(state: State, event: ev.WebhookCreated, fact: ev.Fact) -> None:
    webhook = Webhook(
        id=event.id,
        owner=event.owner,
        name=event.name,
        url=event.url,
        filter=event.filter,
        secret=event.secret,
        signing_secret=event.signing_secret,
        headers=event.headers,
        ca=event.ca,
        roles=event.roles,
        projects=event.projects,
        created_at=fact.at,
        updated_at=fact.at,
        status_at=fact.at,
        since=fact.seq,
    )
    state.webhooks[event.id] = webhook
    index_webhook(state, webhook)


def _updated(state: State, event: ev.WebhookUpdated, fact: ev.Fact) -> None:
    webhook = state.webhooks[event.id]
    for name, value in event.changes.items():
        setattr(webhook, name, value)
    webhook.updated_at = fact.at


def _deleted(state: State, event: ev.WebhookDeleted, fact: ev.Fact) -> None:
    _end(state, event.id)


def _paused(state: State, event: ev.WebhookPaused, fact: ev.Fact) -> None:
    _hold(state.webhooks[event.id], "paused", None, fact)


def _switched_off(state: State, event: ev.WebhookSwitchedOff, fact: ev.Fact) -> None:
    _hold(state.webhooks[event.id], "off", event.reason, fact)


def _hold(webhook: Webhook, status: WebhookStatus, reason: str | None, fact: ev.Fact) -> None:
    if webhook.held_from is None:
        webhook.held_from = fact.seq
    webhook.status, webhook.reason, webhook.status_at = status, reason, fact.at


def _resumed(state: State, event: ev.WebhookResumed, fact: ev.Fact) -> None:
    webhook = state.webhooks[event.id]
    webhook.status, webhook.reason, webhook.status_at = "active", None, fact.at
    webhook.held_from = None
    if event.pending == "skip":
        webhook.since = fact.seq


def _rotated(state: State, event: ev.WebhookSecretRotated, fact: ev.Fact) -> None:
    webhook = state.webhooks[event.id]
    before: list[RotatedSecret] = [each for each in webhook.rotated if each["until"] > fact.at]
    if event.until > fact.at:
        before.append({"signing_secret": webhook.signing_secret, "until": event.until})
    webhook.rotated = before[-ROTATED_KEPT_MAX:]
    webhook.secret, webhook.signing_secret = event.secret, event.signing_secret
    webhook.updated_at = fact.at


def _asked(state: State, event: ev.WebhookTested | ev.WebhookRedeliveryAsked, fact: ev.Fact) -> None:
    """Nothing of the state changes: who delivers reads the fact."""


def _marked(state: State, event: ev.WebhooksMarked, fact: ev.Fact) -> None:
    for webhook_id, through, number in event.marks:
        webhook = state.webhooks.get(webhook_id)
        if webhook is not None:
            webhook.mark_seq, webhook.mark_number = through, number


WEBHOOK_FACTS: Appliers = {
    ev.WebhookCreated: _created,
    ev.WebhookUpdated: _updated,
    ev.WebhookDeleted: _deleted,
    ev.WebhookPaused: _paused,
    ev.WebhookResumed: _resumed,
    ev.WebhookSwitchedOff: _switched_off,
    ev.WebhookSecretRotated: _rotated,
    ev.WebhookTested: _asked,
    ev.WebhookRedeliveryAsked: _asked,
    ev.WebhooksMarked: _marked,
}
