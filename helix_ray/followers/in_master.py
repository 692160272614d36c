"""The followers that run in the engine's process because they read its state.

They have no loop and no I/O; the master calls them. A follower that needs only facts runs in a process of its
own (following.py).
"""

from __future__ import annotations

from helix_ray.core.policy import Policy
from helix_ray.followers.base import Follower
from helix_ray.followers.cascades import Cascade
from helix_ray.followers.leases import LeaseKeeper
from helix_ray.followers.models import ModelKeeper
from helix_ray.followers.scheduler import Scheduler
from helix_ray.followers.thresholds import ThresholdKeeper
from helix_ray.followers.timers import Timekeeper


def in_master(policy: Policy, known_at: float = 0.0) -> list[Follower]:
    """Return the followers that share the engine's process, in the order they react; `known_at` is the time
    of the newest fact."""
    return [
        LeaseKeeper(policy), Timekeeper(policy, known_at), Cascade(policy), ModelKeeper(),
        ThresholdKeeper(policy), Scheduler(policy),
    ]  # fmt: skip
