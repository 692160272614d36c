"""Webhooks: addresses that are told of what happens, by signed requests. Only the answers that create a
webhook or rotate its secret have the signing secret.

Idempotency-Key: with a key a made secret is derived from the key and the server's own, so a repeated request
gets the same answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, Rejected, invalid
from helix_ray.core.orders import (
    CreateWebhook,
    DeleteWebhook,
    PauseWebhook,
    Redeliver,
    ResumeWebhook,
    RotateWebhookSecret,
    TestWebhook,
    UpdateWebhook,
)
from helix_ray.core.orders.kind import IdData, OrderKind
from helix_ray.core.orders.webhooks import SignedData
from helix_ray.core.questions import GetWebhook, ListWebhooks
from helix_ray.core.webhook_shape import is_signing_secret, refuse_ca, refuse_headers, refuse_secret
from helix_ray.core.webhooks import OVERLAP_S, WebhookChanges
from helix_ray.outward.checking import check_url
from helix_ray.security.webhook_secrets import derive_signing_secret, fingerprint_of, make_signing_secret
from helix_ray.wire import webhooks as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn, key_of
from serve_app.openapi import verb

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post("", **verb("CreateWebhook", body=shapes.WebhookIn, answers=shapes.WebhookSignedOut, status=201))
async def create_webhook(caller: SignedIn) -> Response:
    """Create a webhook. Only this answer has the signing secret."""
    body = await read(caller.request)
    sent = body.validated(shapes.WEBHOOK, "webhook")
    headers, ca = sent.get("headers") or {}, sent.get("ca") or None
    _check(caller, sent, headers, ca)
    secret, signing_secret = _secrets(caller, sent.get("secret"))
    order = CreateWebhook(
        url=sent["url"], filter=shapes.filter_in(sent), secret=secret, signing_secret=signing_secret,
        name=sent.get("name") or "", headers=headers, ca=ca, fingerprint=fingerprint_of(signing_secret),
    )  # fmt: skip
    return await _signed(order, signing_secret, caller, body, 201)


@router.get("", **verb("ListWebhooks", answers=shapes.WebhooksOut))
async def list_webhooks(caller: SignedIn) -> Response:
    """List one's own webhooks; administrators get all."""
    answer = await caller.query(ListWebhooks())
    return json_answer({"webhooks": [shapes.webhook_out(webhook) for webhook in answer["webhooks"]]})


@router.get("/{webhook_id}", **verb("GetWebhook", answers=shapes.WebhookOut))
async def get_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Return one webhook."""
    return json_answer(shapes.webhook_out(await caller.query(GetWebhook(webhook_id))))


@router.patch(
    "/{webhook_id}", **verb("UpdateWebhook", body=shapes.WebhookUpdateIn, answers=shapes.WebhookOut)
)
@router.put("/{webhook_id}", **verb("UpdateWebhook", body=shapes.WebhookUpdateIn, answers=shapes.WebhookOut))
async def update_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Change a webhook: what is named is replaced, by PUT and PATCH alike. What is sent later goes by it."""
    body = await read(caller.request)
    sent = body.validated(shapes.WEBHOOK_UPDATE, "webhook")
    _check(caller, sent, sent.get("headers") or {}, sent.get("ca") or None)
    changes: WebhookChanges = {}
    if "url" in sent:
        changes["url"] = sent["url"] or ""
    if "name" in sent:
        changes["name"] = sent["name"] or ""
    if "headers" in sent:
        changes["headers"] = sent["headers"] or {}
    if "ca" in sent:
        changes["ca"] = sent["ca"] or None
    return await _changed(UpdateWebhook(webhook_id, changes, shapes.filter_changes(sent)), caller, body)


@router.delete("/{webhook_id}", **verb("DeleteWebhook", status=204))
async def delete_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Delete a webhook; what was still to be sent is not sent."""
    return no_content(await caller.execute(DeleteWebhook(webhook_id)))


@router.post("/{webhook_id}/pause", **verb("PauseWebhook", answers=shapes.WebhookOut))
async def pause_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Pause a webhook: what it would be told is held and counted."""
    return await _changed(PauseWebhook(webhook_id), caller)


@router.post(
    "/{webhook_id}/resume",
    **verb("ResumeWebhook", body=shapes.ResumeIn, body_required=False, answers=shapes.WebhookOut),
)
async def resume_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Resume a webhook that is paused or off, with what was held (`replay`) or without (`skip`)."""
    body = await read(caller.request, optional=True)
    sent = body.validated(shapes.RESUME, "webhook")
    return await _changed(ResumeWebhook(webhook_id, sent.get("pending") or "replay"), caller, body)


@router.post(
    "/{webhook_id}/rotate-secret",
    **verb("RotateWebhookSecret", body=shapes.RotateIn, body_required=False, answers=shapes.WebhookSignedOut),
)
async def rotate_secret(webhook_id: str, caller: SignedIn) -> Response:
    """Give a webhook another secret. For a day, or `overlap_s`, requests are signed with both."""
    body = await read(caller.request, optional=True)
    sent = body.validated(shapes.ROTATE, "webhook")
    secret, signing_secret = _secrets(caller, sent.get("secret"))
    overlap_s = sent.get("overlap_s")
    order = RotateWebhookSecret(
        webhook_id, secret, signing_secret, OVERLAP_S if overlap_s is None else float(overlap_s),
        fingerprint_of(signing_secret),
    )  # fmt: skip
    return await _signed(order, signing_secret, caller, body)


@router.post("/{webhook_id}/test", **verb("TestWebhook", answers=shapes.AskedOut, status=202))
async def test_webhook(webhook_id: str, caller: SignedIn) -> Response:
    """Send a ping (`webhook.ping`) to a webhook, whatever it wants otherwise."""
    receipt = await caller.execute(TestWebhook(webhook_id))
    asked = {"webhook_id": receipt.data["id"], "seq": receipt.data["seq"]}
    return json_answer(asked, 202, receipt)


@router.post(
    "/{webhook_id}/redeliver",
    **verb("Redeliver", body=shapes.RedeliverIn, answers=shapes.AskedOut, status=202),
)
async def redeliver(webhook_id: str, caller: SignedIn) -> Response:
    """Send once more: one delivery, a range, or everything since a seq; as its owner may see it now."""
    body = await read(caller.request)
    after, through = _range(body.validated(shapes.REDELIVER, "webhook"))
    receipt = await caller.execute(Redeliver(webhook_id, after, through), body)
    asked = {"webhook_id": receipt.data["id"], "seq": receipt.data["seq"]}
    return json_answer(asked, 202, receipt)


def _range(sent: shapes.RedeliverIn) -> tuple[int, int | None]:
    """Return after which seq, and through which."""
    seq, after = sent.get("seq"), sent.get("after")
    if (seq is None) == (after is None) or (seq is not None and "through" in sent):
        raise Refused(invalid("Give either seq, or after with or without through", field="seq"))
    if after is not None:
        return after, sent.get("through")
    assert seq is not None
    return seq - 1, seq


def _check(
    caller: Caller,
    sent: shapes.WebhookIn | shapes.WebhookUpdateIn,
    headers: Mapping[str, str],
    ca: str | None,
) -> None:
    """Refuse an address that may not be asked, and what cannot be sent; later these are sealed."""
    url = sent.get("url")
    allowed = caller.services.settings.webhook_addresses()
    refusal = (
        (check_url(url, allowed) if url else None)
        or refuse_headers(headers, plain=True)
        or refuse_ca(ca)
        or _refuse_certificates(ca)
    )
    if refusal is not None:
        raise Refused(refusal)


def _refuse_certificates(ca: str | None) -> Rejected | None:
    if ca is None:
        return None
    try:
        ssl.create_default_context(cadata=ca)
    except ssl.SSLError:
        return invalid("ca has no certificate that can be read", field="ca")
    return None


def _secrets(caller: Caller, given: str | None) -> tuple[str, str]:
    """Return the text that keys the signatures over the body, and the signing secret. A `whsec_...` is both;
    without one it is made."""
    refusal = None if given is None else refuse_secret(given, plain=True)
    if refusal is not None:
        raise Refused(refusal)
    if given is not None and is_signing_secret(given):
        return given, given
    key = key_of(caller.request)
    path = caller.request.scope["path"]
    made = (
        make_signing_secret()
        if key is None
        else derive_signing_secret(caller.services.secrets[0], caller.by.id, path, key)
    )
    return given or made, made


async def _signed(
    order: OrderKind[SignedData], signing_secret: str, caller: Caller, body: Body, status: int = 200
) -> Response:
    """Carry out an order and answer with the webhook and its secret, where that is the one it has got."""
    receipt = await caller.execute(order, body)
    same = receipt.data["fingerprint"] == fingerprint_of(signing_secret)
    answer: shapes.WebhookSignedOut = {
        **await _shown(receipt.data["id"], caller),
        "signing_secret": signing_secret if same else None,
    }
    return json_answer(answer, status, receipt)


async def _changed(order: OrderKind[IdData], caller: Caller, body: Body | None = None) -> Response:
    """Carry out an order and answer with the changed webhook."""
    receipt = await caller.execute(order, body)
    return json_answer(await _shown(receipt.data["id"], caller), 200, receipt)


async def _shown(webhook_id: str, caller: Caller) -> shapes.WebhookOut:
    return shapes.webhook_out(await caller.query(GetWebhook(webhook_id)))
