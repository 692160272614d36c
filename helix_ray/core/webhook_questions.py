"""Questions about webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import READERS, SYSTEM_ONLY, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.webhooks import WebhookBoardView, WebhooksView, WebhookView


@dataclass(frozen=True, slots=True)
class ListWebhooks(QuestionKind[WebhooksView]):
    """The caller's webhooks; for administrators all."""

    allowed = READERS
    reads = "webhooks"
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetWebhook(QuestionKind[WebhookView]):
    """One webhook."""

    allowed = READERS
    reads = "webhooks"
    tokens = Tokens.ALL

    webhook_id: str


@dataclass(frozen=True, slots=True)
class WebhookBoard(QuestionKind[WebhookBoardView]):
    """All webhooks with their secrets, and what each owner may see now: for who delivers."""

    allowed = SYSTEM_ONLY
    sealed_fields = (
        "webhooks.*.secret",
        "webhooks.*.signing_secrets.*.secret",
        "webhooks.*.headers.*",
    )
