"""The followers that run beside the engine because they need its state at hand.

No loop and no I/O in them; the master drives them. A follower that can live with facts alone runs in a
process of its own (following.py).
"""

from __future__ import annotations

from helix_ray.core.policy import Policy
from helix_ray.followers.base import Follower
from helix_ray.followers.cascades import Cascade
from helix_ray.followers.leases import LeaseKeeper
from helix_ray.followers.scheduler import Scheduler
from helix_ray.followers.timers import Timekeeper


def in_master(policy: Policy) -> list[Follower]:
    """Return the followers that share the engine's process, in the order they react."""
    return [LeaseKeeper(policy), Timekeeper(policy), Cascade(policy), Scheduler(policy)]
