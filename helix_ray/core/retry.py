"""When again, or never: exponential backoff with full determinism; chance comes in as a number."""

from __future__ import annotations

from typing import Protocol
from zlib import crc32

from helix_ray.core.policy import Policy


class Tries(Protocol):
    """What counts how attempts of a task have ended: memory's record of it, or the history's."""

    failures: int
    losses: int
    preemptions: int


def count_requeue(tries: Tries, cause: str) -> None:
    """Count why a task was queued again (TaskRequeued's `cause`); by hand, it begins anew."""
    if cause == "retry":
        tries.failures += 1
    elif cause == "lost":
        tries.losses += 1
    elif cause == "preempted":
        tries.preemptions += 1
    elif cause == "manual":
        tries.failures = tries.losses = tries.preemptions = 0


def unit_chance(seed: str) -> float:
    """Turn an order's seed into a number in [0, 1): the same order always rolls the same."""
    return crc32(seed.encode()) / 2**32


def backoff_s(base_s: float, tries: int, maximum_s: float, chance: float) -> float:
    """Return the delay before the next try, in seconds: base x 2^(tries-1), at most `maximum_s`,
    spread over its upper half by `chance` so that tasks that failed together do not come back together."""
    ceiling = min(maximum_s, base_s * 2.0 ** min(tries - 1, 60))
    return float(ceiling * (0.5 + 0.5 * chance))


def retry_delay_s(spec_backoff_s: float | None, tries: int, policy: Policy, seed: str) -> float:
    """Return the delay after a failure, from the task's own base or the policy's."""
    base = policy.retry_backoff_s if spec_backoff_s is None else spec_backoff_s
    return backoff_s(base, tries, policy.retry_backoff_s_max, unit_chance(seed))
