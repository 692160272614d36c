"""Programs are compared round by round, whatever else the machine does meanwhile."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest

from helix_ray.inference.timing import ROUNDS_MIN, Ratio, RoundClock, Rounds, ratio_of, seconds_per_call


class Machine:
    """A clock that programs move on; `load` stretches the wall clock and leaves CPU time alone."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.load = 1.0
        self.ran: list[str] = []

    def clock(self) -> RoundClock:
        return RoundClock(lambda: self.wall_s, lambda: self.cpu_s)

    def program(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.wall_s += seconds * self.load
            self.cpu_s += seconds
            self.ran.append(name)

        return run


def test_rounds_alternate_and_fill_a_slice() -> None:
    """Each runs as often as fills a slice of 20 ms; every second round is in the opposite order."""
    machine = Machine()
    rounds = Rounds({"a": machine.program("a", 0.0125), "b": machine.program("b", 0.125)}, machine.clock())
    rounds.warm_up()
    machine.ran.clear()
    rounds.once()
    rounds.once()
    assert machine.ran == ["a", "a", "b", "b", "a", "a"]
    assert [sample.wall_s for sample in rounds.samples["a"]] == pytest.approx([0.0125, 0.0125])
    assert rounds.round_s() == pytest.approx(0.15)
    rounds.leave_out("b")
    rounds.once()
    assert [len(samples) for samples in rounds.samples.values()] == [3, 2]


def test_what_is_hopeless_is_left_out_after_the_warm_up() -> None:
    """A program that takes more than the factor is not run again; short calls, which noise may stretch,
    are."""
    machine = Machine()
    seconds = {"fp32": 0.02, "slow": 0.2, "other": 0.05}
    rounds = Rounds({name: machine.program(name, each) for name, each in seconds.items()}, machine.clock())
    rounds.warm_up()
    assert rounds.hopeless("fp32", [*seconds], 3.0) == ["slow"]
    assert rounds.running() == ["fp32", "other"]
    short = Rounds({"fp32": machine.program("a", 0.001), "b": machine.program("b", 0.01)}, machine.clock())
    short.warm_up()
    assert short.hopeless("fp32", ["b"], 3.0) == []


def test_a_stretched_warm_up_is_not_hopeless_by_cpu_time() -> None:
    """Other work that came while a program warmed up does not count against it."""
    machine = Machine()
    rounds = Rounds({name: machine.program(name, 0.02) for name in ("fp32", "late")}, machine.clock())
    late = rounds.programs["late"]

    def beside_others() -> object:
        machine.load = 9.0
        return late()

    rounds.programs = {**rounds.programs, "late": beside_others}
    rounds.warm_up()
    assert rounds.hopeless("fp32", ["late"], 3.0, by_cpu=True) == []
    assert rounds.hopeless("fp32", ["late"], 3.0) == ["late"]


def test_load_that_comes_and_goes_does_not_change_the_ratio() -> None:
    """CPU time ignores it, and by the wall clock it falls on both programs of a round."""
    machine, chance = Machine(), random.Random(1)
    rounds = Rounds({"fp32": machine.program("a", 0.02), "int8": machine.program("b", 0.01)}, machine.clock())
    rounds.warm_up()
    for _ in range(15):
        machine.load = chance.choice((1.0, 1.0, 4.0, 9.0))
        rounds.once()
    for by_cpu in (True, False):
        found = ratio_of(
            *(seconds_per_call(rounds.samples[each], by_cpu=by_cpu) for each in ("fp32", "int8"))
        )
        assert found == Ratio(pytest.approx(2.0), pytest.approx(2.0), pytest.approx(2.0), 15)


def test_too_few_rounds_have_no_interval() -> None:
    """Below six rounds nothing is known for sure; no round at all says nothing."""
    assert ROUNDS_MIN == 6
    for n in range(1, ROUNDS_MIN):
        found = ratio_of([2.0] * n, [1.0] * n)
        assert (found.median, found.low, found.high, found.n) == (2.0, 0.0, math.inf, n)
    assert ratio_of([], []) == Ratio(0.0, 0.0, math.inf, 0)
    assert ratio_of([2.0] * 6, [1.0] * 6) == Ratio(2.0, 2.0, 2.0, 6)
    assert ratio_of([2.0] * 9, [1.0] * 6).n == 6


@pytest.mark.parametrize("n", [6, 7, 9, 12, 15])
def test_the_interval_holds_the_median_as_often_as_it_says(n: int) -> None:
    """Over many experiments with skewed noise the interval holds the true ratio in 95 % of the cases or
    more."""
    chance = random.Random(n)
    held = 0
    experiments = 2000
    for _ in range(experiments):
        # The median of the ratio is 1: both have the same noise, which is never negative and sometimes large.
        ours, theirs = (
            [1.0 + chance.expovariate(1.0) * chance.choice((0.1, 0.1, 3.0)) for _ in range(n)]
            for _ in range(2)
        )
        found = ratio_of(ours, theirs)
        held += found.low <= 1.0 <= found.high
    assert held / experiments >= 0.94


def test_one_outlier_does_not_move_the_interval_of_many() -> None:
    """A single stretched round of fifteen is outside of the ranks that count."""
    theirs = [1.0 + step / 1000 for step in range(15)]
    calm = ratio_of([2.0] * 15, theirs)
    stretched = ratio_of(list(itertools.chain([2.0] * 14, [40.0])), theirs)
    assert stretched.high < 2.1
    assert abs(stretched.median - calm.median) < 0.01
