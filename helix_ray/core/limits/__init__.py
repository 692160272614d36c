"""Rate limits that are exact with any number of API replicas: a sliding window, a
quota server and its clients.

    request -> QuotaClient --Ask--> QuotaServer -> SlidingWindow
              (replica)  <-TokenLease--  (cluster)      (key)

A quota client spends units that the quota server has granted it in token leases, so most requests need no
call. The quota server counts the units when it grants them, as if each were spent at the last possible
moment. So a lease that is lost with its client, or arrives late, can only make the limit stricter. The
promise, for every key: never more than `limit` admissions in any half-open interval of `window_s`. Rounding
costs less than 0.1 % of the limit and the lifetime of a lease costs less than `ttl_s / window_s`.

Two clocks, both arguments: the quota server's is in epoch seconds (its rows outlive it),
a quota client's is monotonic.
"""

from __future__ import annotations

from helix_ray.core.limits.client import QuotaClient
from helix_ray.core.limits.messages import Allowance, Ask, TokenLease, UnspentUnits, UsageRow, name_of
from helix_ray.core.limits.policies import (
    ANONYMOUS,
    AUTHENTICATED,
    DEVICES,
    INFERENCE,
    LOGIN,
    POLICIES,
    STREAMS,
    WORKERS,
    RateLimitPolicy,
)
from helix_ray.core.limits.server import LEASE_FRACTION, QuotaServer, lease_units
from helix_ray.core.limits.window import RUNS_PER_WINDOW_MAX, SlidingWindow

__all__ = [
    "ANONYMOUS",
    "AUTHENTICATED",
    "DEVICES",
    "INFERENCE",
    "LEASE_FRACTION",
    "LOGIN",
    "POLICIES",
    "RUNS_PER_WINDOW_MAX",
    "STREAMS",
    "WORKERS",
    "Allowance",
    "Ask",
    "QuotaClient",
    "QuotaServer",
    "RateLimitPolicy",
    "SlidingWindow",
    "TokenLease",
    "UnspentUnits",
    "UsageRow",
    "lease_units",
    "name_of",
]
