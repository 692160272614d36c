"""The figures of security in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.posture import CheckName, EncryptionStatus, Exposure, SecurityLevel, Standing, assess
from helix_ray.core.views.security import SecurityView
from helix_ray.wire.times import iso_or_none
from helix_ray.wire.values import CLOSED

RATE_DIGITS = 6
Time = Annotated[str | None, Field(examples=["2025-11-07T09:00:00Z"])]


@with_config(CLOSED)
class AttemptsOut(TypedDict):
    """Sign-ins in the audit; `rate` is failed over all, null without any."""

    successful: Annotated[int, Field(examples=[1250])]
    failed: Annotated[int, Field(examples=[15])]
    rate: Annotated[float | None, Field(examples=[0.012])]


@with_config(CLOSED)
class EncryptionOut(TypedDict):
    """How bytes leave the API and Ray, and whether secrets are sealed; null: not known."""

    api: Exposure | None
    ray: Exposure | None
    secrets_sealed: bool | None


@with_config(CLOSED)
class ReasonOut(TypedDict):
    """What one check found."""

    check: CheckName
    standing: Standing
    reason: str


@with_config(CLOSED)
class SecurityOut(TypedDict):
    """The figures of security. `last_audit` is the last completed check of the journal's chain, of
    `last_audit_facts` facts, and `last_comparison` that of `last_comparison_records` records of the audit
    with them; every fact up to `through` is in the figures."""

    auth_attempts: AttemptsOut
    active_sessions: Annotated[int, Field(examples=[42])]
    encryption_status: EncryptionStatus
    security_level: SecurityLevel
    last_audit: Time
    last_audit_facts: int | None
    last_comparison: Time
    last_comparison_records: int | None
    last_record_at: Time
    encryption: EncryptionOut
    reasons: list[ReasonOut]
    through: int


def security_out(view: SecurityView) -> SecurityOut:
    """Return the figures of security in JSON."""
    found = view["findings"]
    check, audit = found.journal, found.audit
    posture = assess(found, view["now"])
    counted = view["sign_ins"] or {"successful": 0, "failed": 0, "last_record_at": None}
    successful, failed = counted["successful"], counted["failed"]
    every = successful + failed
    return {
        "auth_attempts": {
            "successful": successful,
            "failed": failed,
            "rate": round(failed / every, RATE_DIGITS) if every else None,
        },
        "active_sessions": view["active_sessions"],
        "encryption_status": posture.encryption,
        "security_level": posture.level,
        "last_audit": iso_or_none(None if check is None else check.at),
        "last_audit_facts": None if check is None else check.facts,
        "last_comparison": iso_or_none(None if audit is None else audit.at),
        "last_comparison_records": None if audit is None else audit.records,
        "last_record_at": iso_or_none(counted["last_record_at"]),
        "encryption": {"api": found.api, "ray": found.ray, "secrets_sealed": found.sealed},
        "reasons": [
            {"check": each.check, "standing": each.standing, "reason": each.reason}
            for each in posture.reasons
        ],
        "through": view["through"],
    }
