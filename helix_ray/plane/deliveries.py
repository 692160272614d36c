"""Deliveries of webhooks: the master says whether the caller sees the webhook, and the notifier answers."""

from __future__ import annotations

from typing import Any, cast

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.deliveries import GetDelivery, ListDeliveries
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.questions import GetWebhook
from helix_ray.plane.calls import Calls
from helix_ray.plane.nodes import Asks
from helix_ray.plane.responses import UNKNOWN, Response, as_answer, response_of

NO_DELIVERY = Rejected(ErrorCode.NOT_FOUND, "The webhook has no such delivery, or it is no longer kept")


async def deliveries_of(ask: Asks, calls: Calls, question: QuestionKind[Any], by: Principal) -> Answer:
    """Answer a question about the deliveries of a webhook, or refuse it as the webhook itself."""
    if not isinstance(question, ListDeliveries | GetDelivery):
        return Rejected(ErrorCode.INTERNAL_ERROR, f"{type(question).__name__} is not answered here")
    webhook = await ask(GetWebhook(question.webhook_id), by)
    if isinstance(webhook, Rejected):
        return webhook
    found: Response[Any] = response_of(await calls.notifier("deliveries", question))
    return NO_DELIVERY if found is UNKNOWN else cast("Answer", as_answer(found))
