"""Measures programs beside each other: in rounds, in each of which every one of them runs in turn.

What else the machine does then falls on all of them, and what is compared is the ratio within a round. The
interval of the median of the ratios comes from their ranks: it assumes nothing about the noise, and needs
six rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

__all__ = ["ROUNDS_MIN", "Ratio", "RoundClock", "Rounds", "Sample", "ratio_of", "seconds_per_call"]

ROUNDS_MIN = 6
"""Fewer rounds have no interval of 95 %."""

SLICE_S = 0.02
"""How long each program runs in a round, or one call, where that takes longer."""

CALLS_MAX = 2000
WARM_UP_CALLS = 5
WARM_UP_S = 0.2
CONFIDENCE = 0.95

Name = TypeVar("Name", bound=Hashable)
Program = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one call in one round: by the wall clock, and CPU time of the process."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the reference: the median over `n` rounds, and its interval of 95 %.

    With fewer than ROUNDS_MIN rounds the interval is everything: `low` is 0 and `high` is infinite.
    """

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class RoundClock:
    """The clocks of a measurement, in seconds."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(slots=True)
class Rounds(Generic[Name]):
    """Programs by name, and the samples of each; one is left out of further rounds by `leave_out`."""

    programs: Mapping[Name, Program]
    clock: RoundClock = field(default_factory=RoundClock)
    samples: dict[Name, list[Sample]] = field(init=False)
    _calls: dict[Name, int] = field(default_factory=dict, init=False)
    _warm: dict[Name, Sample] = field(default_factory=dict, init=False)  # the shortest call
    _left_out: set[Name] = field(default_factory=set, init=False)
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.samples = {name: [] for name in self.programs}

    def warm_up(self, *, first_run: bool = True) -> None:
        """Run each program once, and then a few times, to find out how many calls of it fill a slice.

        Without `first_run` each of them has run once already.
        """
        for name, program in self.programs.items():
            if first_run:
                program()
            # The shortest: what else runs on the machine only ever makes one longer.
            found = [self._run(program, 1)]
            while len(found) < WARM_UP_CALLS and sum(each.wall_s for each in found) < WARM_UP_S:
                found.append(self._run(program, 1))
            wall_s = max(min(each.wall_s for each in found), 1e-9)
            self._warm[name] = Sample(wall_s, min(each.cpu_s for each in found))
            self._calls[name] = min(CALLS_MAX, max(1, math.ceil(SLICE_S / wall_s)))

    def hopeless(
        self, reference: Name, rivals: Sequence[Name], factor: float, *, by_cpu: bool = False
    ) -> list[Name]:
        """Leave out the rivals that took more than `factor` times as long as the reference when they warmed
        up, and return them; what is shorter than a slice is not judged by that."""
        seconds = {
            name: seconds_per_call([self._warm[name]], by_cpu=by_cpu)[0] for name in (reference, *rivals)
        }
        limit = max(seconds[reference] * factor, SLICE_S)
        found = [name for name in rivals if name != reference and seconds[name] > limit]
        self._left_out.update(found)
        return found

    def running(self) -> list[Name]:
        """Return the programs that run in the next round."""
        return [name for name in self.programs if name not in self._left_out]

    def once(self) -> None:
        """Run one round; every second one in the opposite order, so that no program always comes first."""
        names = self.running()
        for name in names if self._done % 2 == 0 else reversed(names):
            self.samples[name].append(self._run(self.programs[name], self._calls[name]))
        self._done += 1

    def leave_out(self, name: Name) -> None:
        """Run this program no longer; its samples stay."""
        self._left_out.add(name)

    def round_s(self) -> float:
        """Return how long the next round will take, in seconds, by those before it and the warm-up."""
        return sum(
            self._calls[name] * median(sample.wall_s for sample in self.samples[name] or [self._warm[name]])
            for name in self.running()
        )

    def _run(self, program: Program, calls: int) -> Sample:
        wall, cpu = self.clock.wall(), self.clock.cpu()
        for _ in range(calls):
            program()
        return Sample((self.clock.wall() - wall) / calls, (self.clock.cpu() - cpu) / calls)


def ratio_of(reference: Sequence[float], candidate: Sequence[float]) -> Ratio:
    """Compare the seconds of two programs, round by round; the rounds that only one of them ran do not
    count."""
    found = sorted(ours / theirs for ours, theirs in zip(reference, candidate, strict=False) if theirs > 0)
    n = len(found)
    if not n:
        return Ratio(0.0, 0.0, math.inf, 0)
    rank = _rank(n)
    if rank == 0:
        return Ratio(median(found), 0.0, math.inf, n)
    return Ratio(median(found), found[rank - 1], found[n - rank], n)


def seconds_per_call(samples: Sequence[Sample], *, by_cpu: bool) -> list[float]:
    """Return the seconds that count: CPU time, which other programs hardly stretch, or those of the wall
    clock."""
    return [sample.cpu_s if by_cpu else sample.wall_s for sample in samples]


def _rank(n: int) -> int:
    """Return the rank from either end between which the median lies with 95 % confidence; 0 where there is
    none.

    The number of ratios below the median is binomial with p = 1/2, whatever their distribution.
    """
    outside, rank = 0.0, 0
    while rank < n // 2:
        outside += 2 * math.comb(n, rank) / 2**n
        if outside > 1 - CONFIDENCE:
            break
        rank += 1
    return rank
