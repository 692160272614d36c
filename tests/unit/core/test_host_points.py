"""Points of the history of hosts: which are asked for, what they add up to, the second of a sample."""

from __future__ import annotations

from math import isnan, nan

from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.errors import Rejected
from helix_ray.core.host_points import (
    FIELDS,
    LEVELS,
    POINTS_MAX,
    Span,
    point_of,
    series_of,
    slot_of,
    span_of,
    together,
)
from helix_ray.core.questions import SystemHistory

NOW = 1_762_509_600.5
HOUR, DAY = 3600.0, 86_400.0


def asked(
    since: float, until: float | None = None, step: int | None = None, hosts: int = 1
) -> Span | Rejected:
    return span_of(SystemHistory(None, since, until, step), hosts, NOW)


def test_the_finest_points_that_reach_back_so_far_are_told() -> None:
    """A second for an hour, ten for a day, a minute for thirty days."""
    for back, step_s in ((60, 1), (HOUR, 1), (HOUR + 60, 10), (DAY, 10), (2 * DAY, 60), (30 * DAY, 60)):
        span = asked(NOW - back)
        assert isinstance(span, Span)
        assert (span.step_s, span.level.step_s) == (step_s, step_s)
        assert span.start <= NOW - back
        assert NOW - 2 <= span.start + span.count * step_s < NOW + step_s


def test_a_step_is_a_multiple_of_the_kept_one_and_an_answer_has_room() -> None:
    span = asked(NOW - 2 * DAY, step=90)
    assert isinstance(span, Span)
    assert (span.step_s, span.level.step_s) == (120, 60)
    for hosts in (1, 7, 50):
        for back in (HOUR, DAY, 30 * DAY, 3000 * DAY):
            span = asked(NOW - back, hosts=hosts)
            assert isinstance(span, Span)
            assert span.count * hosts <= POINTS_MAX + hosts
    assert isinstance(asked(NOW - 10 * HOUR, NOW - 9 * HOUR), Span)


def test_what_cannot_be_answered_names_its_parameter() -> None:
    for field, refused in {
        "since": asked(NOW + 1),
        "node": asked(NOW - HOUR, hosts=51),
        "step": asked(NOW - 60 * DAY, step=60),
    }.items():
        assert isinstance(refused, Rejected)
        assert refused.details["field"] == field


def test_points_are_added_up_without_what_is_not_known() -> None:
    """The mean of what is known, the maximum of the maxima, and nothing where nothing is known."""
    low, high = point_of({"cpu_percent": 10.0}), point_of({"cpu_percent": 30.0, "load": [1.5, 2.0, 3.0]})
    series = series_of([together([low, high]), None, low])
    assert series["cpu"] == [20.0, None, 10.0]
    assert series["cpu_max"] == [30.0, None, 10.0]
    assert series["load"] == [1.5, None, None]
    assert series["disk_used"] == [None, None, None]
    disks = [{"path": name, "total_mb": 10, "used_mb": 4, "available_mb": 6} for name in "ab"]
    assert series_of([point_of({"disks": disks})])["disk_used"] == [8]  # type: ignore[typeddict-item]
    assert list(series) == list(FIELDS)
    assert all(isnan(value) for value in together([(nan,) * len(FIELDS)]))


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=40), st.floats(0, 1))
def test_a_host_that_is_measured_each_second_has_no_gap(jitter: list[float], phase: float) -> None:
    """However near to the edge of a second its heartbeats come, each has a second of its own."""
    last: tuple[int, float] | None = None
    slots = []
    for number, early in enumerate(jitter):
        wall = 1000.0 + number + phase + early
        last = (slot_of(wall, last), wall)
        slots.append(last[0])
    assert slots == list(range(slots[0], slots[0] + len(slots)))


def test_after_a_pause_and_after_a_change_of_the_clock_the_time_decides() -> None:
    assert slot_of(1005.4, (1000, 1000.2)) == 1005
    assert slot_of(900.4, (1000, 1000.2)) == 900
    assert slot_of(1003.3, (1000, 1002.2)) == 1003
    assert [level.places for level in LEVELS] == [3660, 8700, 43_260]
