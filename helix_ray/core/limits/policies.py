"""The rate-limit policies of classes of callers."""

from __future__ import annotations

from typing import NamedTuple

KEYS_PER_POLICY_MAX = 250_000


class RateLimitPolicy(NamedTuple):
    """The limit of each caller of a class: `limit` units in any `window_s` seconds.

    ttl_s is how long a replica may use a granted unit; keys_max limits the quota server's memory.
    """

    name: str
    limit: int
    window_s: float
    ttl_s: float = 5.0
    keys_max: int = KEYS_PER_POLICY_MAX


AUTHENTICATED = RateLimitPolicy("authenticated", 1_000, 3_600.0)
ANONYMOUS = RateLimitPolicy("anonymous", 100, 3_600.0)
LOGIN = RateLimitPolicy("login", 20, 60.0, ttl_s=0.5)
# Classes of a user's requests with their own limit, besides AUTHENTICATED.
WORKERS = RateLimitPolicy("workers", 100_000, 3_600.0)
DEVICES = RateLimitPolicy("devices", 10_000, 3_600.0)
STREAMS = RateLimitPolicy("streams", 3_600, 3_600.0)
INFERENCE = RateLimitPolicy("inference", 100_000, 3_600.0)
POLICIES = (AUTHENTICATED, ANONYMOUS, LOGIN, WORKERS, DEVICES, STREAMS, INFERENCE)
