"""The clock of what is due does not go back, whatever is done to the wall clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.clock_watch import STEP_S_MIN
from helix_ray.webhooks.due_clock import NOTED_EVERY_S, ClockPlace, DueClock

STEPS = st.tuples(st.sampled_from(["pass", "set", "look", "restart"]), st.floats(-1e5, 1e5))


@given(steps=st.lists(STEPS, max_size=20))
def test_no_step_and_no_restart_takes_it_back(steps: list[tuple[str, float]]) -> None:
    """Save by what passed since it was noted, at a restart, and by steps of less than a second."""
    wall, mono, noted = 1e9, 1e3, ClockPlace()

    def started() -> DueClock:
        return DueClock(lambda: wall, lambda: mono, noted)

    clock = started()
    newest, slack = clock.now(), 0.0
    for kind, seconds in steps:
        if kind == "pass":
            wall, mono = wall + abs(seconds), mono + abs(seconds)
        elif kind == "set":
            wall += seconds
        elif kind == "look":
            clock.look()
            noted = clock.place
        else:
            newest = min(newest, noted.seen_at) if noted.seen_at else 0.0
            clock = started()
        slack += STEP_S_MIN
        assert clock.now() >= newest - slack
        assert abs(clock.now() - clock.ahead_s - wall) < 1e-3
        newest = max(newest, clock.now())


def test_it_is_noted_after_a_while_and_where_the_clock_was_set_back() -> None:
    """What passes in between is not known to the next run."""
    noted = ClockPlace(5.0, 1000.0)
    assert not ClockPlace(5.1, 1001.0).differs(noted)
    assert ClockPlace(5.0, 1000.0 + NOTED_EVERY_S).differs(noted)
    assert ClockPlace(6.0, 1001.0).differs(noted)
