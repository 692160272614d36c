"""The audit as it is answered."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from helix_ray.core.read_classes import ReadClass


class AuditRowView(TypedDict):
    """A record of the audit; `at` is in epoch seconds, `details` what the act was about, without secrets."""

    seq: int
    last_seq: int
    at: float
    event_type: str
    action: str
    result: str
    user_id: str
    address: str
    user_agent: str
    credential: str
    request_id: str
    resource: str
    resource_id: str
    count: int
    ids: list[str]
    details: dict[str, Any]
    erased: bool
    before: dict[str, object] | None
    after: dict[str, object] | None


class AuditPageView(TypedDict):
    """A page of the audit. `through`: every fact up to this seq is in it; `total` is of all pages, `rows` is
    None until the history has answered. Retention has removed records of facts up to `removed_through`.
    `user` is the id of the user who was asked for, `difference` how the audit differs from the journal."""

    through: int
    rows: list[AuditRowView] | None
    total: int
    next: int | None
    removed_through: int
    user: NotRequired[str | None]
    difference: NotRequired[str]


class RecordedReadsView(TypedDict):
    """The classes of sensitive data whose reads are recorded."""

    reads: list[ReadClass]
