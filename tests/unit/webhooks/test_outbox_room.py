"""How much of the outbox webhooks take whose receivers hang, and what becomes of the rest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from helix_ray.core.deliveries import ListDeliveries
from helix_ray.webhooks import outbox as outboxes
from helix_ray.webhooks.answers import listed
from helix_ray.webhooks.dropping import ROWS_AT_ONCE
from helix_ray.webhooks.marking import MARK_ROWS
from helix_ray.webhooks.messages import DELIVERED, Mark, Match, Settled
from helix_ray.webhooks.outbox import HookOutbox

EVENT = "task.completed"
FACTS_PER_TAKE = 10_000
FIVE_DAYS_OF_FACTS = 5 * 86_400 * 100


def matches(first: int, count: int) -> list[Match]:
    """Return what a webhook wants of some facts: all of them."""
    return [Match(seq, EVENT) for seq in range(first, first + count)]


def test_five_days_of_a_receiver_that_hangs_take_a_bounded_number_of_rows(tmp_path: Path) -> None:
    """At 100 events a second: the oldest wait in the outbox, the others in the journal, and none is dropped.
    Its owner sees from which fact on."""
    outbox = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=1_000)
    outbox.begin_at(0)
    outbox.add("hangs", Mark(0, 0))
    outbox.take(0, {}, {})
    outbox.take(800, {"hangs": matches(1, 800)}, {})
    later = matches(801, FACTS_PER_TAKE)
    for through in range(800 + FACTS_PER_TAKE, FIVE_DAYS_OF_FACTS, FACTS_PER_TAKE):
        outbox.take(through, {"hangs": later}, {})
    place = outbox.places["hangs"]
    assert outbox.counts("hangs")["waiting"] == place.waiting == 800
    standing = listed(ListDeliveries("hangs"), outbox, 0.0)["standing"]
    assert (standing["unread_after"], standing["messages"]["dropped"]) == (800, 0)
    assert outbox.behind() == {}
    # It works again: the journal is read on from there once half of the room is free.
    sent = outbox.turn([], outbox.due("hangs", 1.0, 400), {})
    outbox.turn([Settled(message, DELIVERED, 1.0) for message in sent], [], {})
    assert outbox.behind() == {"hangs": 800}
    outbox.catch_up(900, {"hangs": matches(801, 100)})
    assert outbox.due("hangs", 1.0, 1_000)[-1].seq == 900
    outbox.close()


def test_many_that_hang_leave_room_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too much waits of all webhooks, each may have a few messages, so those that work go on; also
    after a restart."""
    monkeypatch.setattr(outboxes, "WAITING_FEW", 20)
    hanging = [f"hangs{number}" for number in range(10)]
    path = tmp_path / "outbox.sqlite"
    outbox = HookOutbox(path, waiting_max=1_000, all_waiting_max=500)
    outbox.begin_at(0)
    for hook in (*hanging, "works"):
        outbox.add(hook, Mark(0, 0))
    outbox.take(0, {}, {})
    for first in range(1, 1_000, 10):
        found = matches(first, 10)
        outbox.take(first + 9, dict.fromkeys(hanging, found) | {"works": found}, {})
        sent = outbox.turn([], outbox.due("works", 1.0, 10), {})
        assert [message.seq for message in sent] == [match.seq for match in found]
        outbox.turn([Settled(message, DELIVERED, 1.0) for message in sent], [], {})
    assert 500 < outbox.waiting <= 500 + 10 * len(hanging)
    outbox.close()
    again = HookOutbox(path, waiting_max=1_000, all_waiting_max=500)
    assert again.most == 20
    assert again.places["works"].cursor is None
    assert {again.places[hook].cursor for hook in hanging} == {outbox.places[hanging[0]].cursor}
    again.close()


def test_no_turn_drops_or_looks_at_all_that_waits(tmp_path: Path) -> None:
    """What is skipped or deleted is dropped so many rows at a time, also after a kill in between, and what
    came later stays. How far a webhook has got is found in the same way."""
    path = tmp_path / "outbox.sqlite"
    outbox = HookOutbox(path, waiting_max=100_000)
    outbox.begin_at(0)
    for hook in ("skips", "deleted"):
        outbox.add(hook, Mark(0, 0))
    outbox.take(0, {}, {})
    outbox.take(9_000, {"skips": matches(1, 9_000), "deleted": matches(1, 9_000)}, {})
    outbox.skip("skips", 8_500)
    outbox.remove("deleted")
    dropped = [0]
    while outbox.drop_some(1.0) is not None:
        counts = outbox.counts
        dropped.append(counts("skips")["dropped"] + counts("deleted")["dropped"])
        if len(dropped) == 4:
            assert "skips" in outbox.drops
            outbox.close()
            outbox = HookOutbox(path, waiting_max=100_000)
            outbox.skip("skips", 8_500)
    assert max(after - before for before, after in pairwise(dropped)) == ROWS_AT_ONCE
    assert dropped[-1] == 8_500 + 9_000
    assert outbox.places["skips"].waiting == 500
    assert "skips" not in outbox.drops
    marks = [outbox.mark("skips") for _ in range(8_500 // MARK_ROWS + 1)]
    assert marks == [None] * (8_500 // MARK_ROWS) + [Mark(8_500, 0)]
    outbox.close()


def test_what_was_held_is_counted_on_after_a_restart(tmp_path: Path) -> None:
    """A start asks for what was skipped once more: only what was held before that is counted no longer."""
    path = tmp_path / "outbox.sqlite"
    outbox = HookOutbox(path, waiting_max=100)
    outbox.begin_at(0)
    outbox.add("paused", Mark(0, 0))
    outbox.take(0, {}, {})
    outbox.hold("paused")
    outbox.take(5, {}, {"paused": matches(1, 5)})
    outbox.skip("paused", 5)
    assert outbox.places["paused"].held == 0
    outbox.take(7, {}, {"paused": matches(6, 2)})
    outbox.close()
    outbox = HookOutbox(path, waiting_max=100)
    outbox.skip("paused", 5)
    assert outbox.places["paused"].held == 2
    outbox.close()
