"""Facts about webhooks. Secrets and values of headers are sealed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from helix_ray.core.webhooks import SECRET_IN_WEBHOOK, FilterRecord, WebhookChanges


@dataclass(slots=True)
class WebhookCreated:
    """A webhook was created; it receives events after this fact."""

    secret_fields: ClassVar[tuple[str, ...]] = SECRET_IN_WEBHOOK

    id: str
    owner: str
    name: str
    url: str
    filter: FilterRecord
    secret: str
    signing_secret: str
    headers: dict[str, str] = field(default_factory=dict)
    ca: str | None = None
    roles: list[str] | None = None
    projects: list[str] | None = None


@dataclass(slots=True)
class WebhookUpdated:
    """A webhook was changed; what is not named stayed as it was."""

    secret_fields: ClassVar[tuple[str, ...]] = ("changes.headers.*",)

    id: str
    changes: WebhookChanges


@dataclass(slots=True)
class WebhookDeleted:
    """A webhook was deleted with what was held for it."""

    id: str
    owner: str


@dataclass(slots=True)
class WebhookPaused:
    """A person paused a webhook: what it would be told is held."""

    id: str


@dataclass(slots=True)
class WebhookResumed:
    """A webhook was resumed; `pending` says whether held events are skipped or replayed."""

    id: str
    pending: str


@dataclass(slots=True)
class WebhookSwitchedOff:
    """The control plane switched off a webhook: what it would be told is held."""

    id: str
    reason: str


@dataclass(slots=True)
class WebhookSecretRotated:
    """A webhook has other secrets; the signing secret before signs as well until then, epoch seconds."""

    secret_fields: ClassVar[tuple[str, ...]] = ("secret", "signing_secret")

    id: str
    secret: str
    signing_secret: str
    until: float


@dataclass(slots=True)
class WebhookTested:
    """Somebody requested a ping; only this webhook receives it, whatever its filter."""

    id: str


@dataclass(slots=True)
class WebhookRedeliveryAsked:
    """Somebody asked for what a webhook wants of the facts after a seq and through another one, once more."""

    id: str
    after: int
    through: int


@dataclass(slots=True)
class WebhooksMarked:
    """How far webhooks are: (id, delivered through this seq, number of the last message)."""

    marks: list[list[Any]]
