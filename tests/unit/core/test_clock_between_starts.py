"""A clock that was set back while no server ran holds up no task."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Liveness
from helix_ray.followers.base import News
from helix_ray.followers.timers import Timekeeper
from tests.unit.core.stage import BOT, EXTERNAL, Stage, spec

TIMEOUT_S = 200.0
# What passes between the newest fact and the next start, by a clock that was not changed.
OFF_S = 50.0


class Run:
    """A run of the server: its clocks begin where the test says."""

    def __init__(self, stage: Stage, now: float, known_at: float) -> None:
        self.stage, self.began = stage, now
        self.keeper = Timekeeper(stage.policy, known_at)
        self.after(0.0)

    def after(self, passed_s: float) -> None:
        """Carry out what is due so long after the start."""
        self.stage.now = self.began + passed_s
        for order in self.keeper.react(News(self.stage.state, Liveness(), self.stage.now, passed_s)):
            self.stage.give(order, SYSTEM)


def waiting() -> tuple[Stage, str, str]:
    """Return a state with a task that is to be retried, and one that an external worker runs."""
    stage = Stage()
    stage.add_external()
    retried = stage.run_to("running", max_retries=1, retry_backoff_s=200.0)
    stage.end(retried, "failed", error={"reason": "error", "message": "boom"})
    (slow,) = stage.submit(spec(timeout_s=TIMEOUT_S))
    assert stage.give(o.Heartbeat(EXTERNAL), BOT)["assigned_task"] == slow
    return stage, retried, slow


@given(back_s=st.floats(OFF_S + 1.0, 1e6))
def test_what_was_left_at_the_newest_fact_is_left_at_the_start(back_s: float) -> None:
    """However far the clock was set back, and nothing is early."""
    stage, retried, slow = waiting()
    known_at = stage.state.at
    delay_s = stage.task(retried).not_before - known_at
    run = Run(stage, known_at + OFF_S - back_s, known_at)
    run.after(delay_s - 1.0)
    assert retried in stage.state.delayed
    run.after(delay_s + 1.0)
    assert retried not in stage.state.delayed
    run.after(TIMEOUT_S - 1.0)
    assert stage.task(slow).status is Status.RUNNING
    run.after(TIMEOUT_S + 1.0)
    assert stage.task(slow).status is Status.FAILED


@given(back_s=st.floats(1_000.0, 1e6))
def test_a_second_start_waits_no_longer_than_the_longest(back_s: float) -> None:
    """The newest fact is by the clock of after: a delay ends after the longest that there is, and an attempt
    has the whole of its timeout."""
    stage, retried, slow = waiting()
    now = stage.state.at - back_s
    run = Run(stage, now, now)
    run.after(TIMEOUT_S - 1.0)
    assert stage.task(slow).status is Status.RUNNING
    run.after(TIMEOUT_S + 1.0)
    assert stage.task(slow).status is Status.FAILED
    run.after(stage.policy.retry_backoff_s_max + 1.0)
    assert retried not in stage.state.delayed


@given(off_s=st.floats(0.0, 1e6))
def test_a_clock_that_went_on_moves_nothing(off_s: float) -> None:
    """What came due while no server ran is due at the start, and the rest when it says."""
    stage, retried, slow = waiting()
    known_at, due_at = stage.state.at, stage.task(retried).not_before
    run = Run(stage, known_at + off_s, known_at)
    assert (retried in stage.state.delayed) == (due_at > known_at + off_s)
    assert (stage.task(slow).status is Status.RUNNING) == (off_s <= TIMEOUT_S)
    run.after(max(0.2, due_at - run.began))
    assert retried not in stage.state.delayed
