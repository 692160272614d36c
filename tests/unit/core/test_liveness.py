"""Silence is judged by monotonic time, and a judge that stalls kills nobody."""

from __future__ import annotations

import pytest

from helix_ray.core.liveness import STALL_S, Liveness, Pulse

LEASE = {"w": 10.0}


def test_silence_longer_than_the_lease() -> None:
    """A worker is silent only after its whole lease; a pulse starts it again."""
    liveness = Liveness()
    liveness.heard("w", Pulse(0.0, 0.0))
    for now in range(11):
        assert liveness.judge(LEASE, float(now)) == []
    assert liveness.judge(LEASE, 10.5) == ["w"]
    liveness.heard("w", Pulse(10.6, 0.0))
    assert liveness.judge(LEASE, 11.0) == []


def test_whoever_was_never_heard_of_is_heard_of_now() -> None:
    """A master that has just started gives everybody a whole lease."""
    liveness = Liveness()
    assert liveness.judge(LEASE, 1000.0) == []
    for step in range(1, 11):
        assert liveness.judge(LEASE, 1000.0 + step) == []
    assert liveness.judge(LEASE, 1010.5) == ["w"]


def test_a_stalled_judge_kills_nobody() -> None:
    """An hour between two judgements counts as STALL_S of silence; then time runs on as usual."""
    liveness = Liveness()
    liveness.heard("w", Pulse(0.0, 0.0))
    liveness.judge(LEASE, 1.0)
    now = 3601.0
    assert liveness.judge(LEASE, now) == []
    silence_s = 1.0 + STALL_S
    while silence_s <= 10.0:
        assert liveness.judge(LEASE, now) == []
        now += 0.5
        silence_s += 0.5
    assert liveness.judge(LEASE, now) == ["w"]


def test_a_pulse_after_a_stall_is_news() -> None:
    """The extra time does not make fresh signs of life look old."""
    liveness = Liveness()
    liveness.heard("w", Pulse(0.0, 100.0, status="idle"))
    liveness.judge(LEASE, 1.0)
    liveness.judge(LEASE, 60.0)
    liveness.heard("w", Pulse(60.1, 160.1, status="busy"))
    assert (liveness.pulses["w"].status, liveness.pulses["w"].wall) == ("busy", 160.1)


def test_a_pulse_that_was_overtaken_changes_nothing() -> None:
    """Messages come out of order; the newest counts, and of two at once the later."""
    liveness = Liveness()
    liveness.heard("w", Pulse(5.0, 0.0, status="newer"))
    liveness.heard("w", Pulse(4.0, 0.0, status="older"))
    assert liveness.pulses["w"].status == "newer"
    liveness.heard("w", Pulse(5.0, 0.0, status="same"))
    assert liveness.pulses["w"].status == "same"


def test_only_those_with_a_lease_are_judged() -> None:
    """A lost worker has none; a shorter lease ends sooner."""
    liveness = Liveness()
    for worker_id in ("short", "long", "lost"):
        liveness.heard(worker_id, Pulse(0.0, 0.0))
    assert liveness.judge({"short": 1.0, "long": 9.0}, 2.0) == ["short"]


def test_a_heartbeat_that_was_overtaken_is_no_sign_of_life() -> None:
    """Numbers count up in one life of a worker; the next life begins anew."""
    alive = Liveness()
    alive.heard("w", Pulse(1.0, 1.0, number=2))
    alive.heard("w", Pulse(5.0, 5.0, number=1))
    alive.heard("w", Pulse(6.0, 6.0, number=2))
    assert alive.pulses["w"].mono == 1.0
    alive.begin("w", Pulse(7.0, 7.0))
    alive.heard("w", Pulse(8.0, 8.0, number=1))
    assert alive.pulses["w"].mono == 8.0


def test_uses_of_sessions_that_have_ended_are_swept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is bounded by that of the open sessions; one that is not open is not noted."""
    monkeypatch.setattr("helix_ray.core.liveness.SESSIONS_USED_MIN", 2)
    known = Liveness()
    for number in range(10):
        known.use(f"session-{number}", {f"session-{number}", "session-0"}, float(number))
        assert len(known.sessions_used) <= 7
    known.use("none", {"session-0"}, 10.0)
    assert known.sessions_used.keys() <= {"session-0", "session-6", "session-7", "session-8", "session-9"}
    assert known.sessions_used["session-0"] == 0.0
