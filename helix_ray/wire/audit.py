"""The audit in JSON."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator, with_config
from typing_extensions import TypedDict

from helix_ray.core.audit.kinds import ACTIONS, AuditType
from helix_ray.core.audit.records import Result
from helix_ray.core.audit_questions import AUDIT_ROWS_MAX, ListAudit
from helix_ray.core.decide.audit import EXPORT_NAME_CHARS_MAX
from helix_ray.core.networks import LOCAL, parsed, plain_address
from helix_ray.core.orders import AcknowledgeExport
from helix_ray.core.posture import REMEDY
from helix_ray.core.views.audit import AuditPageView, AuditRowView
from helix_ray.wire.times import epoch_of, iso
from helix_ray.wire.values import CLOSED, SEQ_MAX, STRICT, adapter, strict

WORD_CHARS_MAX = 200


def _a_time(text: str) -> str:
    epoch_of(text)
    return text


def _epoch_or_none(text: str | None) -> float | None:
    return None if text is None else epoch_of(text)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text")
    return text


def _an_address(text: str) -> str:
    if text != LOCAL and parsed(text) is None:
        raise ValueError("must be an IP address")
    return plain_address(text)


def _an_action(text: str) -> str:
    if text not in ACTIONS:
        similar = ", ".join(get_close_matches(text, ACTIONS))
        raise ValueError("unknown action" + (f" (similar: {similar})" if similar else ""))
    return text


Time = Annotated[str, AfterValidator(_a_time)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX), AfterValidator(_one_line)]
# An unknown one would find nothing, and whoever reads that may believe it.
Action = Annotated[Word, AfterValidator(_an_action), Field(json_schema_extra={"enum": list(ACTIONS)})]


class AuditQuery(BaseModel):
    """Which records are wanted: the newest first, or with `after` the oldest first."""

    model_config = ConfigDict(extra="forbid")

    event_type: AuditType | None = Field(None, description="The only type of records to return.")
    start_time: Time | None = Field(None, description="From when on, in ISO 8601.")
    end_time: Time | None = Field(None, description="Until when, exclusive, in ISO 8601.")
    limit: Annotated[int, Field(ge=1, le=AUDIT_ROWS_MAX)] = Field(
        100, description="How many records at most."
    )
    user: Word | None = Field(None, description="Who did it: a user's name or id.")
    action: Action | None = Field(None, description="What was done.")
    result: Result | None = Field(None, description="How it ended.")
    address: Annotated[Word, AfterValidator(_an_address)] | None = Field(
        None, description=f"The IP address that it came from, or `{LOCAL}`."
    )
    resource: Word | None = Field(None, description="What it was done to: an id, or a kind such as `task`.")
    q: Word | None = Field(None, description="A text that the records contain.")
    cursor: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = Field(
        None, description="`next_cursor` of the page before."
    )
    after: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = Field(
        None,
        description="Only of facts after this seq, the oldest first; `next_cursor` is the next `after`.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> AuditQuery:
        if self.cursor is not None and self.after is not None:
            raise ValueError("give cursor or after, not both")
        return self

    @model_validator(mode="after")
    def _forward(self) -> AuditQuery:
        start, end = self._span()
        # Such a search would find nothing, and whoever reads that may believe it.
        if start is not None and end is not None and end < start:
            raise ValueError("end_time must not be before start_time")
        return self

    def _span(self) -> tuple[float | None, float | None]:
        return _epoch_or_none(self.start_time), _epoch_or_none(self.end_time)

    def question(self) -> ListAudit:
        """Return the question."""
        start, end = self._span()
        return ListAudit(
            self.event_type, start, end, self.limit, self.user, self.action, self.result, self.address,
            self.resource, self.q, self.cursor, self.after,
        )  # fmt: skip


@with_config(CLOSED)
class AuditMetadataOut(TypedDict):
    """What else is known of an act: `count` things, of which `ids` names the first; `details` without
    secrets, and empty where it was `erased`. Of an act that has set something, `before` and `after` have what
    it changed, secrets as `***`; null before it was made and after it was removed."""

    user_agent: str | None
    credential: str | None
    request_id: str | None
    resource: str
    resource_id: str | None
    count: int
    ids: list[str]
    details: dict[str, Any]
    before: dict[str, object] | None
    after: dict[str, object] | None
    erased: bool


@with_config(CLOSED)
class AuditLogOut(TypedDict):
    """A record of the audit. `seq` is its place in the journal."""

    id: Annotated[str, Field(examples=["audit-123"])]
    seq: int
    event_type: AuditType
    user_id: str
    action: str
    result: Result
    ip_address: str | None
    timestamp: Annotated[str, Field(examples=["2025-11-07T10:00:00Z"])]
    metadata: AuditMetadataOut


@with_config(STRICT)
class AuditCheckpointIn(TypedDict):
    """A checkpoint of the journal: its size, and its root in base64."""

    size: int
    root: str


@with_config(STRICT)
class AuditGapIn(TypedDict):
    """Records of facts that were removed before they were exported."""

    first: int
    last: int


@with_config(strict(name="siem.example", through=1043))
class AuditExportIn(TypedDict):
    """Up to which fact the audit is kept in another place, and with which checkpoint of the journal."""

    name: Annotated[str, Field(max_length=EXPORT_NAME_CHARS_MAX)]
    through: Annotated[int, Field(ge=1, le=SEQ_MAX)]
    checkpoint: NotRequired[AuditCheckpointIn]
    gap: NotRequired[AuditGapIn]


EXPORT: TypeAdapter[AuditExportIn] = adapter(AuditExportIn)


def acknowledgement(sent: AuditExportIn) -> AcknowledgeExport:
    """Return the order."""
    checkpoint, gap = sent.get("checkpoint"), sent.get("gap")
    return AcknowledgeExport(
        sent["name"], sent["through"],
        checkpoint["size"] if checkpoint else 0, checkpoint["root"] if checkpoint else "",
        gap["first"] if gap else 0, gap["last"] if gap else 0,
    )  # fmt: skip


@with_config(CLOSED)
class AuditExportOut(TypedDict):
    """What was recorded."""

    name: str
    through: int


@with_config(CLOSED)
class AuditOut(TypedDict):
    """A page of the audit, the newest first. `total` counts all pages; `through`: every fact up to this
    seq is in it; `removed_through`: retention has removed records of facts up to this seq; `warning`: why
    searches are not to be relied on, null where nothing is known."""

    logs: list[AuditLogOut]
    total: int
    next_cursor: int | None
    through: int
    removed_through: int
    warning: str | None


def audit_out(view: AuditPageView) -> AuditOut:
    """Return a page of the audit in JSON."""
    logs = [_log(row) for row in view["rows"] or ()]
    difference = view.get("difference")
    return {
        "logs": logs, "total": view["total"], "next_cursor": view["next"], "through": view["through"],
        "removed_through": view["removed_through"],
        "warning": f"{difference}; {REMEDY}" if difference else None,
    }  # fmt: skip


def _log(row: AuditRowView) -> AuditLogOut:
    metadata: AuditMetadataOut = {
        "user_agent": row["user_agent"] or None,
        "credential": row["credential"] or None,
        "request_id": row["request_id"] or None,
        "resource": row["resource"],
        "resource_id": row["resource_id"] or None,
        "count": row["count"],
        "ids": row["ids"],
        "details": row["details"],
        "before": row["before"],
        "after": row["after"],
        "erased": row["erased"],
    }
    found: Any = {
        "id": f"audit-{row['seq']}",
        "seq": row["seq"],
        "event_type": row["event_type"],
        "user_id": row["user_id"],
        "action": row["action"],
        "result": row["result"],
        "ip_address": row["address"] or None,
        "timestamp": iso(row["at"]),
        "metadata": metadata,
    }
    log: AuditLogOut = found
    return log
