"""The figures of security as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.posture import Findings


class SignInsView(TypedDict):
    """Sign-ins of the audit, and when its newest record was made, in epoch seconds."""

    successful: int
    failed: int
    last_record_at: float | None


class SecurityView(TypedDict):
    """The figures at `now`. `sign_ins` is None until the history has answered; every fact up to `through` is
    in them."""

    through: int
    now: float
    sign_ins: SignInsView | None
    active_sessions: int
    findings: Findings
