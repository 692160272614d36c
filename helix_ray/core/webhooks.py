"""Webhooks: an address that is told of what its owner may see, by signed requests.

A webhook hears what its owner may see at the moment of sending (core/about.py), at most what the API token
could see that created it. Its secrets and the values of its headers are sealed (core/sealed.py).

    active   is told
    paused   by a person; what it would be told is held and counted
    off      by the control plane: nothing but failures for days, or the receiver said that it is gone
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NotRequired, TypedDict

from helix_ray.core.access import may_give
from helix_ray.core.secrets import conceal

WebhookStatus = Literal["active", "paused", "off"]
# What is sent of what was held: nothing, or all of it.
Pending = Literal["skip", "replay"]
PENDING: tuple[Pending, ...] = ("skip", "replay")

WEBHOOK_PREFIX = "webhook-"
WEBHOOKS_MAX = 10_000
URL_CHARS_MAX = 2048
WEBHOOK_NAME_CHARS_MAX = 200
HEADERS_MAX = 20
HEADER_NAME_CHARS_MAX = 128
HEADERS_BYTES_MAX = 4096
CA_BYTES_MAX = 16_384
SECRET_CHARS_MIN = 8
SECRET_BYTES_MAX = 512
# Of the bytes in a `whsec_...`, as Standard Webhooks has it.
SIGNING_KEY_PREFIX = "whsec_"
SIGNING_KEY_BYTES_MIN = 24
SIGNING_KEY_BYTES_MAX = 64
# How long a rotated secret goes on signing beside the current one, and how many of them.
OVERLAP_S = 86_400.0
OVERLAP_S_MAX = 604_800.0
ROTATED_KEPT_MAX = 4
# Secrets as facts and records name them.
SECRET_IN_WEBHOOK = ("secret", "signing_secret", "headers.*")


class FilterRecord(TypedDict):
    """What a webhook wants, as it was asked for: wildcards are expanded when it is read."""

    events: list[str]
    projects: list[str]
    types: list[str]
    labels: dict[str, str]
    statuses: list[str]


class FilterChanges(TypedDict, total=False):
    """What an update changes of a filter."""

    events: list[str]
    projects: list[str]
    types: list[str]
    labels: dict[str, str]
    statuses: list[str]


class RotatedSecret(TypedDict):
    """A signing secret that was replaced, and until when it signs as well, epoch seconds."""

    signing_secret: str
    until: float


class WebhookChanges(TypedDict):
    """What an update changes."""

    name: NotRequired[str]
    url: NotRequired[str]
    filter: NotRequired[FilterRecord]
    headers: NotRequired[dict[str, str]]
    ca: NotRequired[str | None]


@conceal
@dataclass(slots=True, kw_only=True)
class Webhook:
    """One webhook. It is told of facts after `since`; everything through `mark_seq` is delivered, and
    `mark_number` is the number of its last message. Values are replaced, never changed in place."""

    secret_fields: ClassVar[tuple[str, ...]] = (*SECRET_IN_WEBHOOK, "rotated.*.signing_secret")

    id: str
    owner: str
    name: str
    url: str
    filter: FilterRecord
    # The text of it keys `signature` and X-Hub-Signature-256.
    secret: str
    # The bytes of it key webhook-signature.
    signing_secret: str
    rotated: list[RotatedSecret] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    # Certificates in PEM that its receiver's certificate must chain to; None: those of the system.
    ca: str | None = None
    # Of the API token that created it; None: all current roles of the owner, and no restriction.
    roles: list[str] | None = None
    projects: list[str] | None = None
    created_at: float
    updated_at: float
    status: WebhookStatus = "active"
    reason: str | None = None
    # Since when it has this status, and the seq at which it was paused or switched off.
    status_at: float
    held_from: int | None = None
    since: int
    mark_seq: int = 0
    mark_number: int = 0

    def rotated_at(self, now: float) -> list[RotatedSecret]:
        """Return the replaced secrets that still sign, the newest first."""
        return [each for each in reversed(self.rotated) if each["until"] > now]


def roles_now(webhook: Webhook, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the roles with which a webhook hears, of an owner who has these."""
    if webhook.roles is None:
        return roles
    return tuple(role for role in webhook.roles if may_give(roles, role))
