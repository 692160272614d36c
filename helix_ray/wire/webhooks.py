"""Webhooks in JSON."""

from __future__ import annotations

from typing import Annotated, Literal, Required

from pydantic import AfterValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.names import LINE_PATTERN
from helix_ray.core.notices import FILTER_VALUE_CHARS_MAX, FILTER_VALUES_MAX
from helix_ray.core.views.webhooks import WebhookView
from helix_ray.core.webhook_shape import HEADER_NAME_PATTERN, HEADER_VALUE_PATTERN, URL_PATTERN
from helix_ray.core.webhooks import (
    CA_BYTES_MAX,
    HEADER_NAME_CHARS_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    OVERLAP_S_MAX,
    SECRET_BYTES_MAX,
    SECRET_CHARS_MIN,
    URL_CHARS_MAX,
    WEBHOOK_NAME_CHARS_MAX,
    FilterChanges,
    FilterRecord,
)
from helix_ray.wire.runs import given
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, SEQ_MAX, adapter, strict

EXAMPLE = {"url": "https://example.com/webhook", "events": ["task.completed", "task.failed"]}
EVENT_FIELDS = ("events", "projects", "types", "labels", "statuses")

Url = Annotated[str, Field(max_length=URL_CHARS_MAX, pattern=URL_PATTERN, examples=[EXAMPLE["url"]])]
Name = Annotated[str, Field(max_length=WEBHOOK_NAME_CHARS_MAX, pattern=LINE_PATTERN)]
FilterValue = Annotated[str, Field(min_length=1, max_length=FILTER_VALUE_CHARS_MAX)]
Events = Annotated[list[FilterValue], Field(min_length=1, max_length=FILTER_VALUES_MAX)]
FilterValues = Annotated[list[FilterValue], Field(max_length=FILTER_VALUES_MAX)]
FilterLabels = Annotated[
    dict[FilterValue, Annotated[str, Field(max_length=FILTER_VALUE_CHARS_MAX)]],
    Field(max_length=FILTER_VALUES_MAX),
]
Secret = Annotated[
    str,
    Field(min_length=SECRET_CHARS_MIN, max_length=SECRET_BYTES_MAX, examples=["your-webhook-secret"]),
]
Headers = Annotated[
    dict[
        Annotated[str, Field(max_length=HEADER_NAME_CHARS_MAX, pattern=HEADER_NAME_PATTERN)],
        Annotated[str, Field(max_length=HEADERS_BYTES_MAX, pattern=HEADER_VALUE_PATTERN)],
    ],
    Field(max_length=HEADERS_MAX),
]
Certificates = Annotated[str, Field(max_length=CA_BYTES_MAX)]
Seq = Annotated[int, Field(ge=0, le=SEQ_MAX)]


@with_config(strict(**EXAMPLE, secret="your-webhook-secret"))
class WebhookIn(TypedDict, total=False):
    """A webhook to create. Without a `secret` one is made, and shown once as `signing_secret`. `ca` is
    certificates in PEM that the receiver's must chain to, instead of those of the system."""

    url: Required[Url]
    events: Required[Events]
    secret: Secret | None
    name: Name | None
    projects: FilterValues | None
    types: FilterValues | None
    labels: FilterLabels | None
    statuses: FilterValues | None
    headers: Headers | None
    ca: Certificates | None


@with_config(strict(events=["task.*"], labels={"team": "vision"}))
class WebhookUpdateIn(TypedDict, total=False):
    """A change of a webhook: what is named is replaced. An empty `ca`: the certificates of the system."""

    url: Url | None
    events: Events | None
    name: Name | None
    projects: FilterValues | None
    types: FilterValues | None
    labels: FilterLabels | None
    statuses: FilterValues | None
    headers: Headers | None
    ca: Certificates | None


@with_config(strict(pending="replay"))
class ResumeIn(TypedDict, total=False):
    """What becomes of what was held: it is sent (`replay`, the default) or left out (`skip`)."""

    pending: Literal["skip", "replay"] | None


@with_config(strict(overlap_s=86_400))
class RotateIn(TypedDict, total=False):
    """Another secret; without one it is made. The signing secret before signs as well for `overlap_s`."""

    secret: Secret | None
    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_S_MAX)] | None


@with_config(strict(seq=1234))
class RedeliverIn(TypedDict, total=False):
    """One delivery by its `seq`; or what the webhook wants of the facts after a seq, through another one or
    all since."""

    seq: Annotated[int, Field(ge=1, le=SEQ_MAX)] | None
    after: Seq | None
    through: Seq | None


@with_config(CLOSED)
class WebhookOut(TypedDict):
    """A webhook without its secrets. `headers` are names only. `since`: it is told of facts after this seq;
    `held_from`: from this one on they are held. `delivered_through` is noted every few seconds."""

    id: Annotated[str, Field(examples=["webhook-123"])]
    url: str
    events: list[str]
    created_at: str
    updated_at: str
    name: str
    owner: Annotated[str, Field(examples=["admin"])]
    projects: list[str]
    types: list[str]
    labels: dict[str, str]
    statuses: list[str]
    headers: list[str]
    ca: bool
    hears_projects: list[str] | None
    status: Annotated[str, Field(examples=["active", "paused", "off"])]
    status_since: str
    reason: str | None
    held_from: int | None
    since: int
    delivered_through: int
    rotated_until: str | None


@with_config(CLOSED)
class WebhookSignedOut(WebhookOut):
    """A webhook with its signing secret, which no other answer has. The answer to a repeated request
    (Idempotency-Key) has it too, or null where the server's key is another one."""

    signing_secret: str | None


@with_config(CLOSED)
class WebhooksOut(TypedDict):
    """Webhooks, the oldest first."""

    webhooks: list[WebhookOut]


@with_config(CLOSED)
class AskedOut(TypedDict):
    """What a webhook was asked to be told; for a ping, `seq` names its delivery."""

    webhook_id: Annotated[str, Field(examples=["webhook-123"])]
    seq: int


def filter_in(sent: WebhookIn) -> FilterRecord:
    """Return the filter of a webhook to create."""
    return {
        "events": sent["events"],
        "projects": sent.get("projects") or [],
        "types": sent.get("types") or [],
        "labels": sent.get("labels") or {},
        "statuses": sent.get("statuses") or [],
    }


def filter_changes(sent: WebhookUpdateIn) -> FilterChanges:
    """Return what an update changes of the filter."""
    changes: FilterChanges = {}
    for name in EVENT_FIELDS:
        if name in sent:
            changes[name] = sent[name]  # type: ignore[literal-required]  # both have these names
    return changes


def webhook_out(view: WebhookView) -> WebhookOut:
    """Return a webhook's view with ISO times."""
    asked = view["filter"]
    return {
        "id": view["id"],
        "url": view["url"],
        "events": asked["events"],
        "created_at": iso(view["created_at"]),
        "updated_at": iso(view["updated_at"]),
        "name": view["name"],
        "owner": view["owner"],
        "projects": asked["projects"],
        "types": asked["types"],
        "labels": asked["labels"],
        "statuses": asked["statuses"],
        "headers": view["headers"],
        "ca": view["has_ca"],
        "hears_projects": view["projects"],
        "status": view["status"],
        "status_since": iso(view["status_at"]),
        "reason": view["reason"],
        "held_from": view["held_from"],
        "since": view["since"],
        "delivered_through": view["delivered_through"],
        "rotated_until": iso_or_none(view["rotated_until"]),
    }


WEBHOOK: TypeAdapter[WebhookIn] = adapter(Annotated[WebhookIn, AfterValidator(given)])
WEBHOOK_UPDATE: TypeAdapter[WebhookUpdateIn] = adapter(Annotated[WebhookUpdateIn, AfterValidator(given)])
RESUME: TypeAdapter[ResumeIn] = adapter(Annotated[ResumeIn, AfterValidator(given)])
ROTATE: TypeAdapter[RotateIn] = adapter(Annotated[RotateIn, AfterValidator(given)])
REDELIVER: TypeAdapter[RedeliverIn] = adapter(Annotated[RedeliverIn, AfterValidator(given)])
