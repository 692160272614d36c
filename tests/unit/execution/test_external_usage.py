"""What others use of a node: seen when it lasts, never made up from our own executors' coming and going."""

from __future__ import annotations

from helix_ray.execution.external_usage import STABLE_S, STALE_S, ExternalUsage

TOTAL = {"cpu": 4.0, "memory_mb": 1000.0, "NPU-x": 2.0}
ONE = (("cpu", 1.0),)


def samples(
    use: ExternalUsage, free: dict[str, float], own: list[tuple[tuple[str, float], ...]], *at: float
) -> None:
    """Note the same figures at several times."""
    for now in at:
        use.sample(TOTAL | free, own, now)


def test_what_lasts_counts_and_goes_at_once() -> None:
    """Another job's resources show up after STABLE_S and are gone with the first look without them."""
    use = ExternalUsage(TOTAL)
    samples(use, {"cpu": 1.0, "NPU-x": 1.5, "memory_mb": 500.0}, [ONE], 0.0, 1.0, 2.0)
    assert use.amounts(2.0) == {}
    samples(use, {"cpu": 1.0, "NPU-x": 1.5, "memory_mb": 500.0}, [ONE], STABLE_S)
    assert use.amounts(STABLE_S) == {"NPU-x": 0.5, "cpu": 2.0, "memory_mb": 500.0}
    samples(use, {"cpu": 3.0}, [ONE], STABLE_S + 1)
    assert use.amounts(STABLE_S + 1) == {}


def test_our_own_executors_are_never_foreign() -> None:
    """One that starts is ours before Ray counts it, one that ends a moment longer than it is ours."""
    use = ExternalUsage(TOTAL)
    samples(use, {}, [], 0.0, 1.0, 2.0, 3.0)
    samples(use, {}, [ONE], 4.0)
    samples(use, {"cpu": 3.0}, [ONE], 5.0, 6.0, 7.0)
    samples(use, {"cpu": 3.0}, [], 8.0, 9.0)
    assert use.amounts(9.0) == {}
    samples(use, {}, [], 10.0)
    assert use.amounts(10.0) == {}


def test_rounding_is_nobodys() -> None:
    """A MiB that was rounded away is not in use."""
    use = ExternalUsage(TOTAL)
    samples(use, {"memory_mb": 999.0, "cpu": 3.99999}, [], 0.0, 1.0, 2.0, 3.0)
    assert use.amounts(3.0) == {}


def test_old_figures_are_not_known() -> None:
    """Nobody has asked Ray for a while, or never did: that is not nothing."""
    use = ExternalUsage(TOTAL)
    assert use.amounts(0.0) is None
    samples(use, {}, [], 0.0)
    assert use.amounts(STALE_S + 1) is None
