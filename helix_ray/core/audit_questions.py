"""The question about the audit."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import AUDITORS, SYSTEM_ONLY
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.audit import AuditPageView, RecordedReadsView

AUDIT_ROWS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ListAudit(QuestionKind[AuditPageView]):
    """Records of the audit, the newest first: at most `limit`, from before the one at `before`.

    With `after`, the oldest first, of facts after this seq: for those who follow the audit. Times are
    half-open, in epoch seconds: `start` <= the time of a record < `end`. `text` is looked for in what a
    record says, in any case of letters.
    """

    allowed = AUDITORS
    reads = "audit"
    travels_alone = True

    event_type: str | None = None
    start: float | None = None
    end: float | None = None
    limit: int = 100
    user: str | None = None
    action: str | None = None
    result: str | None = None
    address: str | None = None
    resource: str | None = None
    text: str | None = None
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedReads(QuestionKind[RecordedReadsView]):
    """The classes of sensitive data whose reads are recorded, for programs that have no settings."""

    allowed = SYSTEM_ONLY
    short = True
