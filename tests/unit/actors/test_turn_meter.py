"""The meter of turns: how often it looks, and what it measures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors import turn_meter
from actors.turn_meter import BEAT_S, REST_AFTER_S, REST_BEAT_S, TurnMeter


class Timers:
    """An event loop of one timer, whose time passes as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.delay_s = 0.0

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Any, *arguments: Any) -> SimpleNamespace:
        self.delay_s, self.call = delay_s, lambda: call(*arguments)
        return SimpleNamespace(cancel=self.cancel)

    def cancel(self) -> None:
        self.delay_s = 0.0

    def turn(self, late_s: float = 0.0) -> float:
        """Let the timer fire, and return how long it waits for the next time."""
        self.now += self.delay_s + late_s
        self.call()
        return self.delay_s


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(turn_meter.time, "monotonic", timers.monotonic)
    monkeypatch.setattr(turn_meter.asyncio, "get_running_loop", lambda: timers)
    return timers


def test_a_loop_at_rest_is_measured_less_often(timers: Timers) -> None:
    """A long turn brings the short beat back; the delays of a busy machine do not."""
    meter = TurnMeter("master")
    meter.start()
    assert timers.delay_s == BEAT_S
    for _ in range(int(REST_AFTER_S / BEAT_S) + 1):
        timers.turn(0.001)
    assert timers.delay_s == REST_BEAT_S
    assert timers.turn(0.03) == REST_BEAT_S
    assert timers.turn(0.3) == BEAT_S
    assert meter.report()["longest_s"] == pytest.approx(0.3)
    meter.close()
    assert timers.delay_s == 0.0
