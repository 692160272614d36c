"""The messages between quota clients and the quota server, and the answer to a request."""

from __future__ import annotations

from typing import NamedTuple

LEASE_UNITS_MAX = 1_000
DENIAL_S_MAX = 1.0


class Allowance(NamedTuple):
    """The answer to a request, shown in the rate-limit headers.

    reset_epoch_s is when the next used unit frees up, retry_after_s the same as whole seconds from now.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_epoch_s: int
    retry_after_s: int
    window_s: int


class Ask(NamedTuple):
    """A quota client asks for units of one key; `waiting` requests need one each, `wanted`
    would avoid asking again soon."""

    name: str
    waiting: int
    wanted: int


class TokenLease(NamedTuple):
    """Units granted for `ttl_s` seconds from the moment of asking; none if the limit is reached."""

    name: str
    granted: int
    stamp: float
    ttl_s: float
    remaining: int
    reset_at: float
    reset_in_s: float


class UnspentUnits(NamedTuple):
    """Units of an ended lease that were not spent. Send it at most once: a repeat would free units twice."""

    name: str
    stamp: float
    units: int


class UsageRow(NamedTuple):
    """A durable run of used units: the whole count at (key, stamp), replacing any
    earlier row; 0 deletes it."""

    key: str
    stamp: float
    units: int


def name_of(policy: str, key: str) -> str:
    """Join a policy's name and a caller's key into the one string that asks, leases and rows carry."""
    return f"{policy}/{key}"
