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
TRIGGERS = """
CREATE TRIGGER ends AFTER UPDATE OF state ON messages WHEN OLD.state < 2 AND NEW.state > 1 BEGIN
    INSERT INTO ended_counts VALUES (NEW.hook, NEW.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER begins_again AFTER UPDATE OF state ON messages WHEN OLD.state > 1 AND NEW.state < 2 BEGIN
    UPDATE ended_counts SET count = count - 1 WHERE hook = OLD.hook AND state = OLD.state;
END;
"""


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
        con.executescript("DROP TABLE ended_counts")
    again = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=MESSAGES)
    assert again.counts("one") == rows(again, "one")
    assert not again.deliveries.prune(150.0, 1 << 30)
    assert again.counts("one") == rows(again, "one")
    assert again.deliveries.ended("other") == {"dropped": 5}
    assert not again.deliveries.prune(300.0, 1 << 30)
    assert again.deliveries.ended("other") == {}
    again.close()


def test_a_message_that_ends_after_its_webhook_was_deleted_counts_once(outbox: HookOutbox) -> None:
    """It was dropped while its request was under way, and stays so; those of other webhooks count."""
    sent = outbox.turn([], outbox.due("one", 1.0, 2) + outbox.due("other", 1.0, 2), {})
    outbox.remove("one")
    while outbox.drop_some(200.0):
        pass
    tried = Try(100.0, 1, 0.1, 200, None, "")
    outbox.turn([Settled(each, DELIVERED, 1.0, None, tried) for each in sent], [], {})
    for hook, dropped in (("one", 5), ("other", 0)):
        assert outbox.counts(hook) == rows(outbox, hook)
        assert outbox.counts(hook)["dropped"] == dropped
    assert outbox.counts("other")["delivered"] == 28


def test_a_file_whose_triggers_count_counts_once(outbox: HookOutbox, tmp_path: Path) -> None:
    """Earlier versions left counting to triggers, which are in their files."""
    outbox.close()
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as con:
        con.executescript(TRIGGERS)
    again = HookOutbox(tmp_path / "outbox.sqlite", waiting_max=MESSAGES)
    sent = again.turn([], again.due("one", 1.0, 5), {})
    again.turn([Settled(each, FAILED, 1.0, None, Try(100.0, 1, 0.1, 410, None, "")) for each in sent], [], {})
    again.send_again(Again("one", 36, 0, 35), 35, [Match(seq, "task.completed") for seq in range(1, 8)])
    assert again.counts("one") == rows(again, "one")
    assert (again.counts("one")["failed"], again.counts("one")["waiting"]) == (8, 7)
    again.close()


def test_what_ended_is_not_read_again(outbox: HookOutbox) -> None:
    """However many messages end between two transactions, the next ones are found behind a few of them."""
    outbox.take(2_000, {"one": [Match(seq, "task.completed") for seq in range(36, 2_000)]}, {})
    tried, looks = Try(100.0, 1, 0.1, 200, None, ""), []
    outbox.deliveries._con.set_progress_handler(lambda: looks.append(1), 100)
    for _ in range(50):
        sent = outbox.turn([], outbox.due("one", 1.0, 4), {})
        outbox.turn([Settled(each, DELIVERED, 1.0, None, tried) for each in sent], [], {})
        assert outbox.due("one", 1.0, 4)[0].seq == sent[-1].seq + 1
        looks.clear()
        outbox.due("one", 1.0, 4)
        assert len(looks) < 12, "of 100 steps each"


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
