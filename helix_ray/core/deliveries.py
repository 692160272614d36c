"""Questions about the deliveries of webhooks; the notifier answers them (actors/notifier.py)."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import CONTENT_READERS, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.deliveries import DeliveriesView, DeliveryView

DELIVERIES_MAX = 200


@dataclass(frozen=True, slots=True)
class ListDeliveries(QuestionKind[DeliveriesView]):
    """What became of a webhook's messages, newest fact first, before a seq."""

    allowed = CONTENT_READERS
    reads = "webhooks"
    tokens = Tokens.ALL
    of_notifier = True

    webhook_id: str
    status: str | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class GetDelivery(QuestionKind[DeliveryView]):
    """One delivery with its request and all its tries."""

    allowed = CONTENT_READERS
    reads = "webhooks"
    tokens = Tokens.ALL
    of_notifier = True

    webhook_id: str
    seq: int
