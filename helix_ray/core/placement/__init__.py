"""Placement: which node runs what, why, and why not. Pure; helix_ray/followers/scheduler.py drives it."""

from __future__ import annotations

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.node import EPSILON, FREE_SLOTS_MAX, Node
from helix_ray.core.placement.plan import NO_ROOM, QUOTA, Plan, place
from helix_ray.core.placement.rules import Rules, RunningAttempt
from helix_ray.core.placement.strategies import DEFAULT, STRATEGIES

__all__ = [
    "DEFAULT",
    "EPSILON",
    "FREE_SLOTS_MAX",
    "NO_ROOM",
    "QUOTA",
    "STRATEGIES",
    "Fleet",
    "Node",
    "Plan",
    "Rules",
    "RunningAttempt",
    "place",
]  # fmt: skip
