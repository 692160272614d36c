"""Answers about deliveries from the outbox."""

from __future__ import annotations

from helix_ray.core.deliveries import GetDelivery, ListDeliveries
from helix_ray.core.notices import Notice
from helix_ray.core.views.deliveries import (
    DeliveriesView,
    DeliveryView,
    RequestView,
    StandingView,
    TryView,
)
from helix_ray.webhooks.board import Hook
from helix_ray.webhooks.body import payload_of
from helix_ray.webhooks.deliveries import Deliveries, Delivery
from helix_ray.webhooks.hook_traces import HookTraces
from helix_ray.webhooks.messages import HookPlace, Try
from helix_ray.webhooks.outbox import HookOutbox
from helix_ray.webhooks.request import masked_headers, request_of
from helix_ray.webhooks.schedule import off_at
from helix_ray.webhooks.signing import message_id


def listed(
    question: ListDeliveries, outbox: HookOutbox, ahead_s: float, *, is_heard: bool = True
) -> DeliveriesView:
    """Return a page of deliveries, with the newest try of each; `is_heard`: whether the webhook's owner may
    have one; `ahead_s`: how far ahead of the wall clock what is due is (due_clock.py)."""
    counts, deliveries = outbox.counts(question.webhook_id), outbox.deliveries
    place = outbox.places.get(question.webhook_id) or HookPlace(None)
    found = deliveries.listed(question.webhook_id, question.status, question.before, question.limit)
    rows = [_view(one, deliveries.last_try(one.message.hook, one.message.seq), ahead_s) for one in found]
    more = len(found) == question.limit
    return {
        "webhook_id": question.webhook_id,
        "standing": _standing(counts, place, ahead_s, is_heard=is_heard),
        "deliveries": rows,
        "next": found[-1].message.seq if more else None,
    }


def single(
    question: GetDelivery,
    deliveries: Deliveries,
    hook: Hook,
    notice: Notice | None,
    traces: HookTraces,
    ahead_s: float,
) -> DeliveryView | None:
    """Return one delivery with all its tries, and its request where the journal still has the fact."""
    found = deliveries.one(question.webhook_id, question.seq)
    if found is None:
        return None
    tries = deliveries.tries(question.webhook_id, question.seq)
    made = _view(found, tries[-1] if tries else None, ahead_s)
    request = None if notice is None else _request(found, hook, notice, tries, traces)
    return {**made, "request": request, "history": [_try(one) for one in tries]}


def _request(
    found: Delivery, hook: Hook, notice: Notice, tries: list[Try], traces: HookTraces
) -> RequestView:
    at = tries[-1].at if tries else found.due_at
    message = found.message._replace(tries=max(0, found.message.tries - 1))
    payload = payload_of(notice)
    request = request_of(hook, message, payload, at, traces.headers(message, notice, hook.headers, at))
    headers = masked_headers(hook, request.headers)
    body = payload.masked_body()
    return {"url": hook.url, "headers": [*headers.items()], "body": body.decode()}


def _view(found: Delivery, last: Try | None, ahead_s: float) -> DeliveryView:
    message = found.message
    return {
        "id": message_id(message.hook, message.seq),
        "webhook_id": message.hook,
        "seq": message.seq,
        "number": message.number,
        "event": message.event,
        "status": found.state,
        "tries": message.tries,
        "next_try_at": found.due_at - ahead_s if found.state == "waiting" and found.due_at else None,
        "ended_at": found.ended_at,
        "reason": found.why,
        "last_try": None if last is None else _try(last),
        "request": None,
        "history": None,
    }


def _try(one: Try) -> TryView:
    lines = (line.partition(": ") for line in one.headers.splitlines())
    return {
        "number": one.number,
        "at": one.at,
        "seconds": one.seconds,
        "status": one.status,
        "failure": one.failure,
        "reason": one.reason,
        "address": one.address,
        "headers": [(name, value) for name, _, value in lines],
        "body": one.body.decode("utf-8", "replace"),
    }


def _standing(counts: dict[str, int], place: HookPlace, ahead_s: float, *, is_heard: bool) -> StandingView:
    failing_since, quiet_until = place.standing
    failing_since = None if failing_since is None else failing_since - ahead_s
    return {
        "messages": counts,
        # What its owner may see when they may have webhooks again is not known.
        "held": place.held if is_heard else None,
        "unread_after": place.cursor,
        "failing_since": failing_since,
        "off_at": off_at(failing_since),
        "quiet_until": quiet_until - ahead_s if quiet_until else None,
    }
