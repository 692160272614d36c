"""Orders about webhooks. The edge makes the secrets and checks the address; the engine seals them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from helix_ray.core.access import SYSTEM_ONLY, WRITERS, Tokens
from helix_ray.core.orders.kind import IdData, NoData, OrderKind
from helix_ray.core.webhooks import (
    OVERLAP_S,
    SECRET_IN_WEBHOOK,
    FilterChanges,
    FilterRecord,
    Pending,
    WebhookChanges,
)


class SignedData(TypedDict):
    """The webhook that an order was about, and what names its signing secret: a repeated request is answered
    with the secret only where it is the same."""

    id: str
    fingerprint: str


class AskedData(TypedDict):
    """The webhook that was asked to be told something, and the seq of the fact that says so."""

    id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWebhook(OrderKind[SignedData]):
    """Create a webhook for the caller."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True
    secret_fields = (*SECRET_IN_WEBHOOK, "fingerprint")
    sealed_fields = SECRET_IN_WEBHOOK

    url: str
    filter: FilterRecord
    secret: str
    signing_secret: str
    name: str = ""
    fingerprint: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateWebhook(OrderKind[IdData]):
    """Change a webhook; headers are replaced as a whole, and of its filter what `filter` names."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True
    secret_fields = ("changes.headers.*",)
    sealed_fields = ("changes.headers.*",)

    webhook_id: str
    changes: WebhookChanges
    filter: FilterChanges = field(default_factory=FilterChanges)


@dataclass(frozen=True, slots=True)
class DeleteWebhook(OrderKind[IdData]):
    """Delete a webhook with what is held for it."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    webhook_id: str


@dataclass(frozen=True, slots=True)
class PauseWebhook(OrderKind[IdData]):
    """Hold what a webhook would be told; pausing a paused one changes nothing."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    webhook_id: str


@dataclass(frozen=True, slots=True)
class ResumeWebhook(OrderKind[IdData]):
    """Tell a paused or switched-off webhook again, with what was held or without."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    webhook_id: str
    pending: Pending = "replay"


@dataclass(frozen=True, slots=True)
class RotateWebhookSecret(OrderKind[SignedData]):
    """Give a webhook other secrets; the signing secret before signs as well for `overlap_s`."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True
    secret_fields = ("secret", "signing_secret", "fingerprint")
    sealed_fields = ("secret", "signing_secret")

    webhook_id: str
    secret: str
    signing_secret: str
    overlap_s: float = OVERLAP_S
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class TestWebhook(OrderKind[AskedData]):
    """Send a ping to a webhook."""

    __test__ = False  # pytest would take it for a test
    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    webhook_id: str


@dataclass(frozen=True, slots=True)
class Redeliver(OrderKind[AskedData]):
    """Send what a webhook wants of the facts after a seq, through another one, once more; None: all since."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    webhook_id: str
    after: int
    through: int | None = None


@dataclass(frozen=True, slots=True)
class SwitchOffWebhook(OrderKind[IdData]):
    """Hold what a webhook would be told, because its receiver fails or is gone."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one that is off stays off

    webhook_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class NoteDeliveries(OrderKind[NoData]):
    """Note how far webhooks are: (id, delivered through this seq, number of the last message)."""

    allowed = SYSTEM_ONLY
    needs_key = False  # the same again changes nothing

    marks: tuple[tuple[str, int, int], ...]
