"""Orders about webhooks: of their owner, or of an administrator; for others they do not exist.

A webhook never hears more than who created it: one that an API token created has the token's roles and
projects. The notifier switches off and notes; it delivers by the facts.
"""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.display_names import refuse_display_name
from helix_ray.core.errors import Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import (
    Event,
    WebhookCreated,
    WebhookDeleted,
    WebhookPaused,
    WebhookRedeliveryAsked,
    WebhookResumed,
    WebhookSecretRotated,
    WebhooksMarked,
    WebhookSwitchedOff,
    WebhookTested,
    WebhookUpdated,
)
from helix_ray.core.notices import filter_of
from helix_ray.core.orders import (
    CreateWebhook,
    DeleteWebhook,
    NoteDeliveries,
    PauseWebhook,
    Redeliver,
    ResumeWebhook,
    RotateWebhookSecret,
    SwitchOffWebhook,
    TestWebhook,
    UpdateWebhook,
)
from helix_ray.core.orders.kind import IdData, NoData
from helix_ray.core.orders.webhooks import AskedData, SignedData
from helix_ray.core.visibility import sees_webhook
from helix_ray.core.webhook_shape import (
    receiver_of,
    refuse_ca,
    refuse_headers,
    refuse_secret,
    refuse_url,
)
from helix_ray.core.webhooks import (
    OVERLAP_S_MAX,
    PENDING,
    WEBHOOK_NAME_CHARS_MAX,
    WEBHOOK_PREFIX,
    WEBHOOKS_MAX,
    FilterRecord,
    Webhook,
    WebhookChanges,
)

REASON_CHARS_MAX = 500


def create(body: CreateWebhook, ctx: Context) -> Decision[SignedData] | Rejected:
    """Create a webhook; it receives events from now on."""
    by = ctx.order.by
    if by.capability is not None:
        return forbidden("The code of a task cannot create webhooks", action="CreateWebhook")
    if by.id not in ctx.state.users:
        return not_found("User", by.id)
    changes: WebhookChanges = {
        "name": body.name, "url": body.url, "filter": body.filter, "headers": body.headers, "ca": body.ca,
    }  # fmt: skip
    refusal = (
        _check(changes) or refuse_secret(body.secret) or refuse_secret(body.signing_secret) or _no_room(ctx)
    )
    if refusal is not None:
        return refusal
    webhook_id = f"{WEBHOOK_PREFIX}{ctx.order.seed}"
    bound = by.token is not None
    created = WebhookCreated(
        webhook_id, by.id, body.name, body.url, body.filter, body.secret, body.signing_secret, body.headers,
        body.ca, list(by.roles) if bound else None, None if by.projects is None else list(by.projects),
    )  # fmt: skip
    return Decision([created], {"id": webhook_id, "fingerprint": body.fingerprint})


def _no_room(ctx: Context) -> Rejected | None:
    limit = ctx.policy.webhooks_per_user_max
    if len(ctx.state.webhooks_of.get(ctx.order.by.id, ())) >= limit:
        message = "You have reached the maximum number of webhooks: delete one first"
        return conflict(message, webhooks_per_user_max=limit)
    if len(ctx.state.webhooks) >= WEBHOOKS_MAX:
        return conflict("The maximum number of webhooks has been reached", webhooks_max=WEBHOOKS_MAX)
    return None


def update(body: UpdateWebhook, ctx: Context) -> Decision[IdData] | Rejected:
    """Change a webhook; the fact has only the fields that changed, and there is none without a change."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    changes = body.changes.copy()
    if body.filter:
        changes["filter"] = {**webhook.filter, **body.filter}
    refusal = _check(changes) or _refuse_elsewhere(webhook, changes)
    if refusal is not None:
        return refusal
    for name, value in changes.copy().items():
        # Sealed values of headers are others each time.
        if value == getattr(webhook, name):
            del changes[name]  # type: ignore[misc]  # a name of the type's own
    events: list[Event] = [WebhookUpdated(webhook.id, changes)] if changes else []
    return Decision(events, {"id": webhook.id})


def _refuse_elsewhere(webhook: Webhook, changes: WebhookChanges) -> Rejected | None:
    """Refuse to send values of headers, which are never shown again, to a place for which they were not
    given."""
    if not webhook.headers or "url" not in changes or "headers" in changes:
        return None
    if receiver_of(changes["url"]) == receiver_of(webhook.url):
        return None
    message = "The URL leads to another receiver: name the headers that it is to get as well, or {} for none"
    return invalid(message, field="headers", headers=[*webhook.headers])


def _check(changes: WebhookChanges) -> Rejected | None:
    return (
        (refuse_url(changes["url"]) if "url" in changes else None)
        or (_refuse_name(changes["name"]) if "name" in changes else None)
        or (refuse_headers(changes["headers"]) if "headers" in changes else None)
        or (refuse_ca(changes["ca"]) if "ca" in changes else None)
        or (refuse_filter(changes["filter"]) if "filter" in changes else None)
    )


def _refuse_name(name: str) -> Rejected | None:
    return refuse_display_name("webhook", name, WEBHOOK_NAME_CHARS_MAX, may_be_empty=True)


def refuse_filter(asked: FilterRecord) -> Rejected | None:
    """Return why a filter cannot be: without events, an unknown name, too many values."""
    if asked.keys() != FilterRecord.__annotations__.keys():
        return invalid("Invalid filter", field="filter", allowed_values=[*FilterRecord.__annotations__])
    if not asked["events"]:
        return invalid("events must name at least one event; * stands for all", field="events")
    found = filter_of(**asked)
    return found if isinstance(found, Rejected) else None


def delete(body: DeleteWebhook, ctx: Context) -> Decision[IdData] | Rejected:
    """Delete a webhook."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    return Decision([WebhookDeleted(webhook.id, webhook.owner)], {"id": webhook.id})


def pause(body: PauseWebhook, ctx: Context) -> Decision[IdData] | Rejected:
    """Pause a webhook; one that is off becomes paused, so that its reason is gone."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    events: list[Event] = [] if webhook.status == "paused" else [WebhookPaused(webhook.id)]
    return Decision(events, {"id": webhook.id})


def resume(body: ResumeWebhook, ctx: Context) -> Decision[IdData] | Rejected:
    """Resume a webhook; resuming an active one changes nothing."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    if body.pending not in PENDING:
        return invalid("Invalid value of pending", field="pending", allowed_values=[*PENDING])
    active = webhook.status == "active"
    events: list[Event] = [] if active else [WebhookResumed(webhook.id, body.pending)]
    return Decision(events, {"id": webhook.id})


def rotate(body: RotateWebhookSecret, ctx: Context) -> Decision[SignedData] | Rejected:
    """Give a webhook other secrets."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    if not 0 <= body.overlap_s <= OVERLAP_S_MAX:
        return invalid("Invalid overlap", field="overlap_s", min=0, max=OVERLAP_S_MAX)
    refusal = refuse_secret(body.secret) or refuse_secret(body.signing_secret)
    if refusal is not None:
        return refusal
    until = ctx.now + body.overlap_s
    rotated = WebhookSecretRotated(webhook.id, body.secret, body.signing_secret, until)
    return Decision([rotated], {"id": webhook.id, "fingerprint": body.fingerprint})


def test(body: TestWebhook, ctx: Context) -> Decision[AskedData] | Rejected:
    """Ask for a ping."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    if webhook.status != "active":
        message = f"The webhook is {webhook.status}, and gets a ping when it is resumed: resume it first"
        return conflict(message, status=webhook.status, reason=webhook.reason)
    return Decision([WebhookTested(webhook.id)], {"id": webhook.id, "seq": ctx.state.seq + 1})


def redeliver(body: Redeliver, ctx: Context) -> Decision[AskedData] | Rejected:
    """Ask for messages once more; of facts that are there now, also of those before the webhook."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    head = ctx.state.seq
    through = head if body.through is None else body.through
    if not 0 <= body.after < through <= head:
        message = "Invalid range: it must end after its beginning, and not after the newest fact"
        return invalid(message, field="after", after=body.after, through=through, newest=head)
    asked = WebhookRedeliveryAsked(webhook.id, body.after, through)
    return Decision([asked], {"id": webhook.id, "seq": head + 1})


def switch_off(body: SwitchOffWebhook, ctx: Context) -> Decision[IdData] | Rejected:
    """Switch off a webhook that is active; others stay as they are."""
    webhook = _find(body.webhook_id, ctx)
    if isinstance(webhook, Rejected):
        return webhook
    events: list[Event] = []
    if webhook.status == "active":
        events.append(WebhookSwitchedOff(webhook.id, body.reason[:REASON_CHARS_MAX]))
    return Decision(events, {"id": webhook.id})


def note(body: NoteDeliveries, ctx: Context) -> Decision[NoData]:
    """Note how far webhooks are; those that are gone, or were noted so before, are left out."""
    webhooks = ctx.state.webhooks
    marks = [
        [webhook_id, through, number]
        for webhook_id, through, number in body.marks
        if (known := webhooks.get(webhook_id)) is not None
        and (through, number) > (known.mark_seq, known.mark_number)
    ]
    return Decision([WebhooksMarked(marks)] if marks else [], {})


def _find(webhook_id: str, ctx: Context) -> Webhook | Rejected:
    webhook, by = ctx.state.webhooks.get(webhook_id), ctx.order.by
    if webhook is None or by.capability is not None or not sees_webhook(ctx.state, by, webhook):
        return not_found("Webhook", webhook_id)
    return webhook


WEBHOOK_ORDERS: dict[type, Decider] = {
    CreateWebhook: create,
    UpdateWebhook: update,
    DeleteWebhook: delete,
    PauseWebhook: pause,
    ResumeWebhook: resume,
    RotateWebhookSecret: rotate,
    TestWebhook: test,
    Redeliver: redeliver,
    SwitchOffWebhook: switch_off,
    NoteDeliveries: note,
}
