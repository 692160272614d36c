"""What the outbox remembers of messages that have ended: how many, and by pages."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from helix_ray.webhooks.deliveries import Again
from helix_ray.webhooks.messages import DELIVERED, FAILED, STATES, WAITING, Mark, Match, Settled, Try
from helix_ray.webhooks.outbox import HookOutbox

MESSAGES = 20_000


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[HookOutbox]:
    """One that has sent 30 messages of each of two webhooks, and has 5 that wait."""
    made = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=MESSAGES)
    made.begin_at(0)
    for hook in ("one", "other"):
        made.add(hook, Mark(0, 0))
    made.take(0, {}, {})
    found = [Match(seq, "task.completed") for seq in range(1, 36)]
    made.take(35, {"one": found, "other": found}, {})
    for hook in ("one", "other"):
        sent = made.turn([], made.due(hook, 1.0, 30), {})
        tried = Try(100.0, 1, 0.1, 200, None, "")
        made.turn(
            [Settled(each, DELIVERED if each.seq % 7 else FAILED, 1.0, None, tried) for each in sent], [], {}
        )
    yield made
    made.close()


def rows(outbox: HookOutbox, hook: str) -> dict[str, int]:
    """Count the rows of a webhook one by one."""
    found = Counter(row.state for row in outbox.deliveries.listed(hook, None, None, MESSAGES * 2))
    return dict.fromkeys(STATES, 0) | found


def test_counts_are_those_of_the_rows(outbox: HookOutbox, tmp_path: Path) -> None:
    """Whatever happens to rows: they end, are sent again, dropped and forgotten. A file in which nothing was
    counted is counted when it is opened."""
    assert outbox.counts("one") == rows(outbox, "one") != dict.fromkeys(STATES, 0)
    outbox.send_again(Again("one", 36, 0, 35), 35, [Match(seq, "task.completed") for seq in range(1, 20)])
    assert outbox.counts("one") == rows(outbox, "one")
    assert outbox.counts("one")["waiting"] == 24
    outbox.remove("other")
    while outbox.drop_some(200.0):
        pass
    assert outbox.deliveries.ended("other")["dropped"] == rows(outbox, "other")["dropped"]
    outbox.close()
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as con:
        con.executescript("DROP TABLE ended_counts; DROP TRIGGER ends; DROP TRIGGER begins_again;")
    again = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=MESSAGES)
    assert again.counts("one") == rows(again, "one")
    assert not again.deliveries.prune(150.0, 1 << 30)
    assert again.counts("one") == rows(again, "one")
    assert again.deliveries.ended("other") == {"dropped": 5}
    assert not again.deliveries.prune(300.0, 1 << 30)
    assert again.deliveries.ended("other") == {}
    again.close()


@pytest.mark.parametrize("state", [None, *STATES])
def test_a_page_costs_no_more_where_much_is_kept(outbox: HookOutbox, state: str | None) -> None:
    """Neither counts nor any page look at all rows: thousands behind one are not read."""
    found = [Match(seq, "task.completed") for seq in range(36, MESSAGES)]
    outbox.take(MESSAGES, {"one": found}, {})
    if state == "waiting":
        tried = outbox.turn([], outbox.due("one", 1.0, MESSAGES), {})
        outbox.turn([Settled(each, WAITING, 9.0) for each in tried if each.seq % 2], [], {})
    else:
        outbox.skip("one", MESSAGES)
        while outbox.drop_some(1.0):
            pass
    deliveries = outbox.deliveries
    looks = []
    deliveries._con.set_progress_handler(lambda: looks.append(1), 100)
    page = deliveries.listed("one", state, None, 5)
    counts = outbox.counts("one")
    assert len(page) == min(5, sum(counts.values()) if state is None else counts[state])
    assert len(looks) < 20, "of 100 steps each"
