"""When the next heartbeat of an external worker is due: soon enough to get work and keep its
lease, within its rate limit.

An idle worker gets work by its heartbeat, so it is frequent; a busy one's only renews the lease.
Many workers share the control plane's capacity, and workers of one user share that user's rate
limit: both slow down the pace.
"""

from __future__ import annotations

from helix_ray.core.limits import Allowance

IDLE_S = 1.0
# The target of heartbeats per second, over all workers.
HEARTBEATS_PER_S = 100.0
LEASE_FRACTION = 1 / 3
# At most this share of the lease: otherwise one lost heartbeat would end it.
LEASE_FRACTION_MAX = 2 / 3


def next_heartbeat_s(lease_s: float, workers: int, *, has_task: bool, work_waits: bool) -> float:
    """Return the seconds until the next heartbeat, by work and lease.

    workers: the number of workers; work_waits: a task waits for this worker, which did
    not say that it is idle.
    """
    longest_s = lease_s * LEASE_FRACTION
    if has_task:
        return longest_s
    if work_waits:
        return min(IDLE_S, longest_s)
    return min(max(IDLE_S, workers / HEARTBEATS_PER_S), longest_s)


def stretched(pace_s: float, lease_s: float, allowance: Allowance, sharers: int) -> float:
    """Return the pace for one of `sharers` workers of a user, in seconds with three decimals.

    The remaining units are spread over a whole window, in which no used unit may free up. So heartbeats alone
    never use up the limit, and settle at half of it: the rest is for reports. The pace never becomes so slow
    that leases would end; heartbeats beyond the limit are then refused.
    """
    fitting_s = max(sharers, 1) * allowance.window_s / max(allowance.remaining, 1)
    return round(min(max(pace_s, fitting_s), max(pace_s, lease_s * LEASE_FRACTION_MAX)), 3)
