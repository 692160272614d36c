"""A clock that was set back is noticed, once."""

from __future__ import annotations

from helix_ray.core.clock_watch import ClockWatch, step_back_s


def test_steps_back_add_up_until_they_are_noted() -> None:
    """Those of less than a second wait for more; one ahead is the clock that counts from then on."""
    watch = ClockWatch(1000.0, 10.0)
    assert watch.back_s(1005.0, 15.0) == 0.0
    assert watch.back_s(1004.5, 15.0) == 0.0
    assert watch.back_s(1003.5, 15.0) == 1.5
    watch.note(1.5)
    assert watch.back_s(1004.5, 16.0) == 0.0
    assert watch.back_s(2000.0, 16.0) == 0.0
    assert watch.back_s(1900.0, 16.0) == 100.0


def test_a_time_of_an_earlier_run_says_how_far_it_was_set_back() -> None:
    """A difference of less than a second does not count."""
    assert step_back_s(4600.0, 1000.0) == 3600.0
    assert step_back_s(1000.5, 1000.0) == 0.0
    assert step_back_s(0.0, 1000.0) == 0.0
