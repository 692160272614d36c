"""Exponential backoff for retries; deterministic, with randomness as an argument."""

from __future__ import annotations

from zlib import crc32

from helix_ray.core.policy import Policy


def unit_chance(seed: str) -> float:
    """Turn an order's seed into a number in [0, 1): the same order always gets the same number."""
    return crc32(seed.encode()) / 2**32


def backoff_s(base_s: float, tries: int, maximum_s: float, chance: float) -> float:
    """Return the delay before the next try, in seconds: base x 2^(tries-1), at most `maximum_s`, spread over
    its upper half by `chance`, so that tasks that failed together are not retried together."""
    ceiling = min(maximum_s, base_s * 2.0 ** min(tries - 1, 60))
    return float(ceiling * (0.5 + 0.5 * chance))


def retry_delay_s(spec_backoff_s: float | None, tries: int, policy: Policy, seed: str) -> float:
    """Return the delay after a failure, from the task's own base or the policy's."""
    base = policy.retry_backoff_s if spec_backoff_s is None else spec_backoff_s
    return backoff_s(base, tries, policy.retry_backoff_s_max, unit_chance(seed))
