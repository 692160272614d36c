"""Turns that were noted and not stored: found again after a kill, whole ones only, and never twice."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from helix_ray.webhooks.deliveries import Again
from helix_ray.webhooks.lanes import (
    FAILED_BESIDE_S,
    FAR_ANSWERS,
    NEAR_S,
    YOUNG_MAX,
    YOUNG_NEAR_S,
    YOUNG_OTHERS_BESIDE_MAX,
    YOUNG_OTHERS_MAX,
    YOUNG_S,
    Lanes,
)
from helix_ray.webhooks.messages import DELIVERED, START, WAITING, HookMessage, Match, Settled, Try
from helix_ray.webhooks.outbox import HookOutbox
from helix_ray.webhooks.send_turns import SUFFIX, UNSTORED_MAX

HOOK = "webhook-1"
ANSWER = Try(2_000.0, 1, 0.1, 200, None, "", body=b"\x00\xff{}")


def opened(tmp_path: Path, messages: int = 0) -> HookOutbox:
    """Open an outbox; with so many messages where it is a new one."""
    outbox = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=1_000)
    if messages:
        outbox.begin_at(0)
        outbox.add(HOOK, START)
        outbox.take(messages, {HOOK: [Match(seq, "a") for seq in range(1, messages + 1)]}, {})
    return outbox


def deliver(outbox: HookOutbox, messages: int) -> list[HookMessage]:
    """Begin messages in one turn, and have them arrive in another one each."""
    sending = outbox.turn([], outbox.due(HOOK, 1_000.0, messages), {})
    for message in sending:
        outbox.turn([Settled(message, DELIVERED, 2_000.0, None, ANSWER)], [], {})
    return sending


def states(outbox: HookOutbox) -> str:
    """Return the beginnings of the states of all messages."""
    return "".join(row.state[0] for row in reversed(outbox.deliveries.listed(HOOK, None, None, 1_000)))


def lines(tmp_path: Path) -> Path:
    """Return the file of turns."""
    return tmp_path / f"outbox.sqlite{SUFFIX}"


def test_what_was_noted_is_known_after_a_kill(tmp_path: Path) -> None:
    """With its try, bytes of the answer included; what was under way waits again, with its number."""
    outbox = opened(tmp_path, 6)
    assert [message.number for message in deliver(outbox, 3)] == [1, 2, 3]
    outbox.turn([], outbox.due(HOOK, 1_000.0, 1), {})
    assert [message.seq for message in outbox.due(HOOK, 1_000.0, 10)] == [5, 6]
    outbox.close()
    assert lines(tmp_path).stat().st_mode & 0o077 == 0
    assert lines(tmp_path).read_bytes().count(b"\n") == 5
    again = opened(tmp_path)
    assert states(again) == "dddwww"
    assert again.deliveries.tries(HOOK, 2) == [ANSWER]
    assert again.places[HOOK].number == 4
    assert [message.number for message in again.due(HOOK, 1_000.0, 10)] == [4, None, None]
    again.close()


def test_what_is_due_next_is_known_before_it_is_stored(tmp_path: Path) -> None:
    """Of messages that arrived nothing is due, and one that failed is due when it says so."""
    outbox = opened(tmp_path, 3)
    deliver(outbox, 3)
    assert outbox.next_due_at(HOOK) is None
    assert lines(tmp_path).stat().st_size > 0
    outbox.close()
    outbox = opened(tmp_path)
    outbox.take(5, {HOOK: [Match(seq, "a") for seq in (4, 5)]}, {})
    fourth, _ = outbox.turn([], outbox.due(HOOK, 1_000.0, 2), {})
    assert outbox.next_due_at(HOOK) is None
    outbox.turn([Settled(fourth, WAITING, 3_000.0, "timeout", ANSWER._replace(status=None))], [], {})
    assert outbox.next_due_at(HOOK) == 3_000.0
    assert [message.seq for message in outbox.due(HOOK, 3_000.0, 2)] == [4]
    outbox.close()


def test_a_thread_writes_the_log_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large log of transactions is written while the outbox is open; a small one stays."""
    outbox = opened(tmp_path, 100)
    file = tmp_path / "outbox.sqlite"
    before = file.read_bytes()
    outbox.checkpoint()
    assert file.read_bytes() == before
    monkeypatch.setattr("helix_ray.webhooks.outbox_file.CHECKPOINT_BYTES", 0)
    asyncio.run(asyncio.to_thread(outbox.checkpoint))
    assert len(file.read_bytes()) > len(before)
    outbox.close()


def test_half_a_line_counts_for_nothing(tmp_path: Path) -> None:
    """A kill in the middle of a line leaves the turns before it."""
    outbox = opened(tmp_path, 3)
    deliver(outbox, 2)
    outbox.close()
    lines(tmp_path).write_bytes(lines(tmp_path).read_bytes()[:-20])
    again = opened(tmp_path)
    assert states(again) == "dww"
    again.close()


def test_stored_turns_are_not_stored_again(tmp_path: Path) -> None:
    """A kill between a transaction and the end of its lines: what happened to a message since stands."""
    outbox = opened(tmp_path, 2)
    deliver(outbox, 2)
    before = lines(tmp_path).read_bytes()
    outbox.send_again(Again(HOOK, 9, 0, 2), 2, [Match(1, "a")])
    assert lines(tmp_path).read_bytes() == b""
    outbox.close()
    lines(tmp_path).write_bytes(before)
    again = opened(tmp_path)
    assert states(again) == "wd"
    again.close()


def test_another_file_s_turns_are_left_out(tmp_path: Path) -> None:
    """A damaged file is set aside, and its turns with it."""
    outbox = opened(tmp_path, 2)
    deliver(outbox, 2)
    outbox.close()
    for path in tmp_path.glob("outbox.sqlite*"):
        if path != lines(tmp_path):
            path.unlink()
    again = opened(tmp_path, 2)
    assert (states(again), again.places[HOOK].number) == ("ww", 0)
    again.close()


def test_a_disk_that_is_full_for_a_moment_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that fits in part is taken back; the turn is not made, and can be made later."""
    outbox = opened(tmp_path, 2)
    (message,) = outbox.turn([], outbox.due(HOOK, 1_000.0, 1), {})
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, text: write(file, text[:10]))
        with pytest.raises(OSError, match="No space"):
            outbox.turn([Settled(message, DELIVERED, 2_000.0, None, ANSWER)], [], {})
    assert outbox.places[HOOK].sending == {1}
    outbox.turn([Settled(message, DELIVERED, 2_000.0, None, ANSWER)], [], {})
    outbox.close()
    again = opened(tmp_path)
    assert states(again) == "dw"
    again.close()


def test_lines_do_not_pile_up(tmp_path: Path) -> None:
    """After so many turns they go into the tables, and the file begins anew."""
    count = UNSTORED_MAX + 50
    outbox = opened(tmp_path, count)
    deliver(outbox, count)
    assert lines(tmp_path).read_bytes().count(b"\n") == 50
    assert states(outbox) == "d" * count
    outbox.close()


def test_near_receivers_share_few_requests_and_far_ones_hold_up_nobody() -> None:
    """A request to a receiver that is near counts until it is answered; any other gives its place back soon,
    and so does one to a near receiver that hangs."""
    now = 0.0
    lanes = Lanes(clock=lambda: now)
    near, far = lanes.lane("near"), lanes.lane("far")
    near.note(True, NEAR_S)
    for _ in range(FAR_ANSWERS):
        far.note(True, 2 * NEAR_S)
    for lane, seconds in ((far, YOUNG_S), (near, YOUNG_NEAR_S)):
        window = lanes.window(lane)
        numbers = [window.begin(lane) for _ in range(YOUNG_MAX)]
        window.lanes.append(lane)
        assert not window.is_open()
        assert window.opens_at() == now + seconds
        now += 0.9 * seconds
        assert not window.is_open()
        now += 0.2 * seconds
        assert window.is_open()
        for number in numbers:
            window.end(number)
    window.begin(near)
    near.note(False, 15.0, answered=False)
    assert near.young_s == YOUNG_S


def test_receivers_that_may_hang_get_what_others_leave() -> None:
    """While a receiver that works is being told, one request to the others begins at a time; then as many as
    usual. A lane whose request ends meanwhile waits in the window that is then its own."""
    now = 0.0
    lanes = Lanes(clock=lambda: now)

    def begun() -> list[str]:
        found = []
        for window, lane in lanes.due(now):
            window.begin(lane)
            lane.sending.add(len(lane.sending))
            lanes.wake(lane)
            found.append(lane.hook)
        return found

    works = lanes.lane("works")
    assert begun() == ["works"]
    works.sending.clear()
    works.note(True, NEAR_S)
    for number in range(2 * YOUNG_OTHERS_MAX):
        lanes.lane(f"hangs{number}")
    lanes.wake(works)
    now += YOUNG_S
    assert begun() == ["works", "works", *(f"hangs{number}" for number in range(YOUNG_OTHERS_BESIDE_MAX))]
    assert lanes.opens_at() == now + YOUNG_S
    now += YOUNG_NEAR_S
    assert not lanes.is_busy
    assert len(begun()) == YOUNG_OTHERS_MAX
    for number in range(5):
        failing = lanes.lane(f"hangs{number}")
        failing.sending.clear()
        failing.note(False, 15.0, answered=False)
        lanes.wake(failing)
    assert begun() == ["hangs0"]
    now += 1.1 * YOUNG_S
    assert begun()[-1] == "hangs1"
    works.sending.clear()
    lanes.wake(works)
    now += 1.1 * YOUNG_S
    assert begun() == ["works", "works"]
    assert lanes.opens_at() == pytest.approx(now - 1.1 * YOUNG_S + FAILED_BESIDE_S)
    now += FAILED_BESIDE_S
    works.sending.clear()
    lanes.wake(works)
    assert begun() == ["works", "works", "hangs2"]


def test_receivers_that_answer_with_failures_wait_for_none_that_hang() -> None:
    """Hundreds that did not answer wait for each other; one that answered 500 begins beside them."""
    lanes = Lanes(clock=lambda: 0.0)
    for name in ("hangs", "hangs too", "fails"):
        lanes.lane(name).note(False, 0.001, answered=name == "fails")
        lanes.lane(name).ready = False
    for window in (lanes.window(lane) for lane in lanes.all.values()):
        window.lanes.clear()
    for lane in lanes.all.values():
        lanes.wake(lane)
    begun = []
    for window, lane in lanes.due(0.0):
        window.begin(lane)
        begun.append(lane.hook)
    assert begun == ["fails", "hangs"]


def test_some_may_have_theirs_before_the_cursor_moves(tmp_path: Path) -> None:
    """What was taken first is not taken again with the rest, nor after a kill in between, and nothing is
    marked meanwhile."""
    outbox = opened(tmp_path)
    outbox.begin_at(0)
    outbox.add(HOOK, START)
    outbox.add("other", START)
    outbox.take(0, {}, {})
    wanted = [Match(seq, "a") for seq in (1, 2)]
    assert outbox.take_first({HOOK: wanted}) == [HOOK]
    assert outbox.is_between
    outbox.turn([], outbox.due(HOOK, 0.0, 1), {})
    outbox.close()
    again = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=1000)
    assert (again.cursor, again.places[HOOK].waiting) == (0, 2)
    again.take(2, {HOOK: wanted, "other": wanted}, {})
    assert {name: place.waiting for name, place in again.places.items()} == {HOOK: 2, "other": 2}
    assert not again.is_between
    assert [message.number for message in again.due(HOOK, 0.0, 9)] == [1, None]
    again.close()
