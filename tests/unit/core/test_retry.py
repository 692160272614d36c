"""Backoff: bounded, spread, and the same for the same order."""

from __future__ import annotations

import pytest

from helix_ray.core.policy import Policy, function_allowed
from helix_ray.core.retry import backoff_s, retry_delay_s, unit_chance


@pytest.mark.parametrize(
    ("base", "tries", "low", "high"),
    [(1.0, 1, 0.5, 1.0), (1.0, 4, 4.0, 8.0), (1.0, 9, 128.0, 256.0), (1.0, 10, 150.0, 300.0),
     (1.0, 10_000, 150.0, 300.0), (0.0, 5, 0.0, 0.0)],
)  # fmt: skip
def test_delays_double_up_to_a_maximum(base: float, tries: int, low: float, high: float) -> None:
    """Chance spreads them over the upper half, and many tries do not overflow."""
    assert backoff_s(base, tries, 300.0, 0.0) == low
    assert low <= backoff_s(base, tries, 300.0, 0.999) <= high


def test_chance_follows_from_the_seed() -> None:
    """In [0, 1), the same for the same seed, different for others."""
    rolls = [unit_chance(f"seed-{i}") for i in range(1000)]
    assert all(0.0 <= roll < 1.0 for roll in rolls)
    assert len(set(rolls)) > 990
    assert 0.45 < sum(rolls) / 1000 < 0.55
    assert unit_chance("a") == unit_chance("a")


def test_a_tasks_own_base_goes_before_the_policys() -> None:
    """Zero is a base too."""
    policy = Policy(retry_backoff_s=10.0, retry_backoff_s_max=20.0)
    assert retry_delay_s(0.0, 3, policy, "s") == 0.0
    assert 5.0 <= retry_delay_s(None, 1, policy, "s") <= 10.0
    assert 10.0 <= retry_delay_s(100.0, 1, policy, "s") <= 20.0


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("helix_ray.samples:add", True), ("my.mod:fn", True), ("my.mod:other", False),
     ("helix_ray.samples:_x", False), ("helix_ray.samples", False), ("helix_ray.samples:", False),
     ("", False)],
)  # fmt: skip
def test_the_allow_list_of_functions(name: str, allowed: bool) -> None:
    """Whole modules or single names; private names never."""
    policy = Policy(function_allow=("helix_ray.samples:*", "my.mod:fn"))
    assert function_allowed(policy, name) is allowed
