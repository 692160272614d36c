"""The turns of event loops: the longest of the last minute with what ran, and no series that grows."""

from __future__ import annotations

from helix_ray.core.turns import BUCKETS_S, REPORT_S_MAX, TurnReports, Turns
from helix_ray.core.views.figures import LoopReport


def test_the_longest_turn_of_the_last_minute_is_told_with_what_ran() -> None:
    """A shorter one later does not replace it; a minute later it is forgotten."""
    turns = Turns()
    turns.ran("SubmitTasks", 3)
    turns.ran("CancelTask")
    turns.over(0.3, now=100.0)
    turns.over(0.1, now=101.0)
    assert turns.longest(140.0) == (0.3, "SubmitTasks+CancelTask")
    turns.over(0.2, now=150.0)
    assert turns.longest(165.0) == (0.2, "other")
    assert turns.longest(300.0).seconds == 0.0
    assert sum(turns.report(300.0)["counts"]) == 3


def test_every_turn_is_in_one_bucket() -> None:
    turns = Turns()
    for seconds in (0.0, *BUCKETS_S, 100.0):
        turns.over(seconds, now=1.0)
    assert turns.counts == [2, *[1] * len(BUCKETS_S)]


def test_processes_of_a_kind_are_told_together_and_forgotten_when_silent() -> None:
    """However many replicas there were, there is one row a kind."""
    told = TurnReports()
    for i in range(50):
        turns = Turns()
        turns.over(i / 100, now=1.0)
        told.take("api", str(i), turns.report(1.0), now=float(i))
    loops = told.by_kind(49.0)
    assert list(loops) == ["api"]
    assert loops["api"]["processes"] == REPORT_S_MAX + 1
    assert loops["api"]["longest_s"] == 0.49
    assert told.by_kind(1000.0) == {}


def test_the_furthest_follower_of_a_name_counts_and_silence_ends_it() -> None:
    """Lags come with the turns; who fell silent is not shown, and reports without lags are fine."""
    reports = TurnReports()
    for process, lags in (("a", {"history": 7}), ("b", {"history": 30, "audit": 2})):
        reports.take("historian", process, {**Turns().report(0.0), "lags": lags}, 10.0)
    reports.take("api", "c", Turns().report(0.0), 10.0)
    assert reports.lags(11.0) == {"audit": 2, "history": 30}
    assert reports.lags(11.0 + REPORT_S_MAX) == {}


def test_spans_of_processes_that_are_gone_stay_counted() -> None:
    """Their sums are counters: they never go back."""
    reports = TurnReports()
    assert reports.traces(0.0) is None
    for i in range(100):
        traced: LoopReport = {**Turns().report(0.0), "traces": {"sent": 2, "dropped": 1, "failed": 0}}
        reports.take("api", str(i), traced, now=float(i))
    assert reports.traces(1000.0) == {"sent": 200, "dropped": 100, "failed": 0}
