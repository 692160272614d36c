"""When an external worker should come again: soon enough to get work and to keep its lease,
within what it may ask.

An idle worker's heartbeat is how it gets work, so it comes often; a busy one's only renews its lease.
Many workers share what the control plane takes, and workers of one user share that user's allowance:
both make the pace slower.
"""

from __future__ import annotations

from helix_ray.core.limits import Allowance

IDLE_S = 1.0
# Together, workers are asked to send about this many heartbeats a second.
HEARTBEATS_PER_S = 100.0
LEASE_FRACTION = 1 / 3
# Never later than this share of the lease: a late or lost heartbeat would end it.
LEASE_FRACTION_MAX = 2 / 3


def next_heartbeat_s(lease_s: float, workers: int, *, has_task: bool, work_waits: bool) -> float:
    """Return the seconds until the next heartbeat, as far as work and lease say.

    workers: how many are known; work_waits: there is a task that this worker was not given only because it
    did not say that it is idle.
    """
    longest_s = lease_s * LEASE_FRACTION
    if has_task:
        return longest_s
    if work_waits:
        return min(IDLE_S, longest_s)
    return min(max(IDLE_S, workers / HEARTBEATS_PER_S), longest_s)


def stretched(pace_s: float, lease_s: float, allowance: Allowance, sharers: int) -> float:
    """Return the pace for one of `sharers` workers of a user, in seconds with three decimals.

    What remains is spread over a whole window, during which nothing that was used may free up. So heartbeats
    alone never use the allowance up, and settle at half of it: the rest is for reports. A pace that would end
    leases is not asked for; what then goes beyond the limit is refused.
    """
    fitting_s = max(sharers, 1) * allowance.window_s / max(allowance.remaining, 1)
    return round(min(max(pace_s, fitting_s), max(pace_s, lease_s * LEASE_FRACTION_MAX)), 3)
