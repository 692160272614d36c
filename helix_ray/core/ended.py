"""Sessions and API tokens that ended, and why, so that a client which still uses one gets the reason.

They are remembered for ENDED_KEEP_S, at most ENDED_MAX of them; the oldest are forgotten first. No access
token is valid for longer, so the reason is `unknown` only when unusually many ended in a week.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.state import Ended, State

ENDED_MAX = 10_000
ENDED_KEEP_S = 7 * 86_400.0
# How many of its newest refresh tokens identify an ended session.
ENDED_HASHES_MAX = 3

MESSAGES = {
    "expired": "The session or token has expired",
    "logout": "The session was logged out",
    "evicted": (
        "The session was ended by a later login because the user had reached the maximum number of sessions"
    ),
    "password_changed": "The session ended because the password was changed",
    "user_removed": "The user has been removed",
    "revoked": "The session or token was revoked",
    "refresh_reused": (
        "The session was ended because a refresh token was used twice: the token may have been stolen"
    ),
    "unknown": "The session or token does not exist or has expired",
    "attempt_ended": "The attempt that this code belongs to has ended",
    "not_genuine": "The capability was not made by this control plane",
}
# Reasons in older journals.
_OLD_REASONS = {"refresh token reused": "refresh_reused"}


def refusal(reason: str, at: float | None) -> Rejected:
    """Return the refusal for a session or token that ended at `at` (epoch seconds)."""
    details = {"reason": reason, "ended_at": None if at is None else moment(at)}
    return Rejected(ErrorCode.UNAUTHORIZED, MESSAGES[reason], details)


def why_gone(state: State, identifier: str | None) -> Rejected:
    """Return the refusal for a session or token that the state does not have (any more). It names it: whose
    an API token was, the audit can say by its id only."""
    ended = state.ended.get(identifier or "")
    if ended is None:
        return refusal("unknown", None)
    found = refusal(ended.reason, ended.at)
    return replace(found, details={**found.details, "credential": identifier})


def remember(state: State, identifier: str, ended: Ended) -> None:
    """Record an ended session or token, and drop those that are too old or too many."""
    ended.reason = _OLD_REASONS.get(ended.reason, ended.reason)
    if ended.reason not in MESSAGES:
        ended.reason = "revoked"
    state.ended[identifier] = ended
    for hashed in ended.hashes:
        state.ended_by_hash[hashed] = identifier
    while state.ended:
        oldest, dropped = next(iter(state.ended.items()))
        if dropped.at > ended.at - ENDED_KEEP_S and len(state.ended) <= ENDED_MAX:
            return
        del state.ended[oldest]
        for hashed in dropped.hashes:
            state.ended_by_hash.pop(hashed, None)


def moment(epoch: float) -> str:
    """Return a moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
