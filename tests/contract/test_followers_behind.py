"""Followers that are far behind: they read files and segments, and hold nothing up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helix_ray.core.events import Fact
from helix_ray.followers import feed as feed_module
from helix_ray.followers.cursor import CursorFile
from helix_ray.followers.feed import BatchLimits, Feed, HeadFeed
from helix_ray.followers.following import WithCursor
from helix_ray.journal import sealing
from helix_ray.journal.fact_reader import FactReader
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Batch, Snapshot
from tests.contract.followed import KEY, GivenFacts, Seen, facts, follow_to_head, follower

LOG_BYTES_MAX = 256 << 20


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", 11)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", 1 << 11)
    monkeypatch.setattr(feed_module, "NEAR_FACTS_MAX", 1000)


@pytest.mark.usefixtures("small_segments")
def test_far_behind_it_reads_files_and_segments_and_asks_nobody(tmp_path: Path) -> None:
    """The head is asked for one batch and for the last thousand facts; the rest comes from the disk, while
    facts move to segments under it, and is what the journal's owner reads."""
    journal = SqliteJournal(tmp_path, KEY)
    for first in range(1, 9001, 500):
        journal.append(facts(first, first + 499, "x" * (first % 7)))
    journal.save_snapshot(Snapshot(9000, 1, {}))
    expected = journal.read_after(0, 9000)
    asked: list[int] = []

    class Owner:
        async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
            asked.append(cursor)
            found = tuple(journal.read_after(cursor, limits.facts_max))
            # Facts move while they are followed.
            first = journal.sealing_due(0.0, 1 << 60, 1e12)
            if first is not None:
                assert journal.adopt(journal.seal(first))
                journal.clear_some()
            return Batch(found, found[-1].seq if found else cursor, 9000)

    got: list[Fact] = []

    async def effect(batch: Batch) -> None:
        got.extend(batch.facts)
        first = journal.sealing_due(0.0, 1 << 60, 1e12)
        if first is not None and len(got) > first:
            assert journal.adopt(journal.seal(first))
        journal.clear_some()

    consumer = WithCursor(effect, CursorFile(tmp_path, "trial", 0))
    following = follower(consumer, HeadFeed(Owner(), FactReader(tmp_path)), BatchLimits(300))
    asyncio.run(follow_to_head(following))
    assert got == expected
    assert [cursor for cursor in asked if 0 < cursor < 8000] == []
    assert len(list((tmp_path / "segments").glob("*.facts"))) == 4
    journal.close()


@pytest.mark.usefixtures("small_segments")
def test_files_that_cannot_be_read_are_left_to_their_owner(tmp_path: Path) -> None:
    """Then all facts come from the control plane, slower, and nothing is missing."""
    feed = HeadFeed(GivenFacts(facts(1, 3000), 500), FactReader(tmp_path / "elsewhere"))
    consumer = Seen(None, CursorFile(tmp_path, "trial", 0))
    asyncio.run(follow_to_head(follower(consumer, feed)))
    assert consumer.seqs == list(range(1, 3001))


def test_a_reader_that_sleeps_holds_no_log_up(tmp_path: Path) -> None:
    """While a follower sits on its batch, 300 MB are written, and the write-ahead log
    stays far below 256 MiB."""
    journal = SqliteJournal(tmp_path, KEY)
    journal.append(facts(1, 20))

    async def scenario() -> int:
        has_batch, may_go_on = asyncio.Event(), asyncio.Event()

        async def effect(batch: Batch) -> None:
            has_batch.set()
            await may_go_on.wait()

        feed = HeadFeed(GivenFacts([], 0), FactReader(tmp_path))
        feed._head = 1 << 20  # far ahead: it reads the files
        following = follower(WithCursor(effect, CursorFile(tmp_path, "slow", 0)), feed, BatchLimits(10))
        step = asyncio.create_task(following.step())
        await has_batch.wait()
        largest = 0
        for first in range(21, 321, 10):
            journal.append(facts(first, first + 9, "x" * 1_000_000))
            largest = max(largest, journal.log_bytes())
        may_go_on.set()
        await step
        assert following.lag().cursor == 10
        return largest

    assert asyncio.run(scenario()) < LOG_BYTES_MAX / 4
    journal.close()


@pytest.fixture
def asks_for_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "NEAR_FACTS_MAX", 10)


def head_feed(tmp_path: Path, known: int, owner: GivenFacts | None = None) -> HeadFeed:
    """Return a feed of a journal that has so many facts in its file."""
    journal = SqliteJournal(tmp_path, KEY)
    if known:
        journal.append(facts(1, known))
    journal.close()
    return HeadFeed(owner or GivenFacts(facts(1, known)), FactReader(tmp_path))


def after(feed: Feed, cursor: int, facts_max: int = 30) -> Batch:
    return asyncio.run(feed.after(cursor, BatchLimits(facts_max), 5.0))


@pytest.mark.usefixtures("asks_for_ten")
@pytest.mark.parametrize(("known", "expected"), [(0, 0), (7, 7), (10, 10), (24, 24), (30, 30), (95, 30)])
def test_what_follows_an_answer_is_read_from_the_files(tmp_path: Path, known: int, expected: int) -> None:
    """The owner is asked for ten facts; a batch has these and those of the files behind them, in order, once
    each, up to its limit or the head."""
    owner = GivenFacts(facts(1, known))
    batch = after(head_feed(tmp_path, known, owner), 0)
    assert [fact.seq for fact in batch.facts] == list(range(1, expected + 1))
    assert (batch.cursor, batch.head) == (expected, known)
    assert owner.asked == [0]


@pytest.mark.usefixtures("asks_for_ten")
def test_an_answer_that_bytes_have_cut_is_a_batch_alone(tmp_path: Path) -> None:
    """Its facts may be large: more from the files would double what the consumer keeps in memory."""
    owner = GivenFacts(facts(1, 95), size=9)
    assert len(after(head_feed(tmp_path, 95, owner), 0).facts) == 9
    assert owner.asked == [0]


@pytest.mark.usefixtures("asks_for_ten")
def test_nothing_behind_the_head_that_was_told_is_read(tmp_path: Path) -> None:
    """The file may have facts of a commit that its owner has not answered for yet."""
    assert after(head_feed(tmp_path, 95, GivenFacts(facts(1, 14))), 0).cursor == 14


@pytest.mark.usefixtures("asks_for_ten")
def test_without_files_the_owner_is_asked_for_all_facts(tmp_path: Path) -> None:
    """The answer that was there when they failed is used, and later ones are as large as they may be."""
    owner = GivenFacts(facts(1, 95), size=50)
    feed = HeadFeed(owner, FactReader(tmp_path / "elsewhere"))
    assert len(after(feed, 0).facts) == 10
    assert len(after(feed, 10).facts) == 30


@pytest.mark.usefixtures("asks_for_ten")
def test_a_failed_request_loses_nothing(tmp_path: Path) -> None:
    """The consumer's cursor has not moved, so the same facts are asked for again."""
    owner = GivenFacts(facts(1, 35))
    owner.failures = [OSError("the link is cut")]
    consumer = Seen(None, CursorFile(tmp_path, "trial", 0))
    asyncio.run(follow_to_head(follower(consumer, head_feed(tmp_path, 35, owner), BatchLimits(20))))
    assert consumer.seqs == list(range(1, 36))
