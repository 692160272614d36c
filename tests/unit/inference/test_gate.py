"""The figures of the gate, and what is outside the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from helix_ray.inference.gate import Comparison, faults, paired_difference
from helix_ray.inference.variants import GateBounds

SCORES = np.array([[1.0, 2.0], [4.0, 1.0], [0.0, 3.0]], np.float32)


def compared(candidate: np.ndarray, labels: list[int] | None = None, times: int = 1) -> Comparison:
    comparison = Comparison()
    for _ in range(times):
        comparison.add([SCORES], [candidate], None if labels is None else np.array(labels))
    return comparison


def test_the_same() -> None:
    """Equal outputs have no error, cosine 1 and full agreement, and no accuracy without labels."""
    gate = compared(SCORES).result("given", "")
    assert (gate["max_relative_error"], gate["min_cosine"], gate["top1_agreement"]) == (0.0, 1.0, 1.0)
    assert (gate["rows"], gate["accuracy"]) == (3, None)
    assert faults(gate, GateBounds()) == []


def test_figures() -> None:
    """The error is by the largest value of the output; the cosine is that of the worst row."""
    other = SCORES.copy()
    other[0] = [2.0, 1.0]
    gate = compared(other).result("given", "")
    assert gate["max_relative_error"] == 0.25
    assert gate["min_cosine"] == pytest.approx(0.8)
    assert gate["top1_agreement"] == pytest.approx(2 / 3, abs=1e-6)
    assert len(faults(gate, GateBounds())) == 3


def test_not_finite() -> None:
    """A value that is not finite has no figures, and is refused."""
    other = SCORES.copy()
    other[1, 1] = np.inf
    gate = compared(other).result("given", "")
    assert (gate["max_relative_error"], gate["min_cosine"]) == (None, None)
    assert faults(gate, GateBounds()) == ["its outputs are not finite"]


def test_accuracy_decides_where_there_are_labels() -> None:
    """With enough labelled rows a changed class does no harm where it was wrong before."""
    other = SCORES.copy()
    other[0] = [2.0, 1.99]
    loose = GateBounds(max_relative_error=1, min_cosine=0)
    better = compared(other, [0, 0, 1], times=40).result("given", "")
    worse = compared(other, [1, 0, 1], times=40).result("given", "")
    assert faults(better, loose) == []
    assert faults(worse, loose) == ["accuracy 0.6667 is 0.33 below FP32, which is more than 0.005"]
    few = compared(other, [0, 0, 1]).result("given", "")
    assert faults(few, loose) == ["agreement of the top class 0.6667 is below 0.99"]


@pytest.mark.parametrize(
    ("worse", "better", "rows", "low", "high"),
    [(0, 0, 400, -0.004876, 0.004876), (5, 1, 100, -0.0895, 0.0111), (0, 0, 1, -0.653, 0.653)],
)
def test_paired_difference(worse: int, better: int, rows: int, low: float, high: float) -> None:
    """The interval has a width without any disagreement, and is wide for few rows."""
    assert paired_difference(worse, better, rows) == pytest.approx((low, high), abs=6e-4)


def test_the_interval_covers() -> None:
    """Of many samples the true difference is in the interval about 95 times of 100."""
    chance = np.random.default_rng(0)
    rows, shares = 300, [0.03, 0.01, 0.96]  # only FP32 right, only the variant right, the same
    draws = chance.multinomial(rows, shares, size=2000)
    intervals = [paired_difference(int(b), int(c), rows) for b, c, _ in draws]
    covered = np.mean([low <= -0.02 <= high for low, high in intervals])
    assert covered >= 0.94


def test_shapes_must_agree() -> None:
    """An output of another shape cannot be compared."""
    with pytest.raises(ValueError, match="has the shape"):
        Comparison().add([SCORES], [SCORES[:2]])


def test_whole_numbers_are_compared_exactly() -> None:
    """Labels of a classifier have a share that differs, and are the classes where there are no scores."""
    comparison = Comparison()
    comparison.add([np.array([1, 2, 3, 4])], [np.array([1, 2, 3, 5])])
    gate = comparison.result("given", "")
    assert (gate["max_relative_error"], gate["top1_agreement"], gate["min_cosine"]) == (0.25, 0.75, 1.0)
