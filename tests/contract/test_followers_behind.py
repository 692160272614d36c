"""Followers that are far behind: they read files and segments, and hold nothing up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helix_ray.core.events import Fact
from helix_ray.followers import feed as feed_module
from helix_ray.followers.cursor import CursorFile
from helix_ray.followers.feed import BatchLimits, Feed, GatheringFeed, HeadFeed
from helix_ray.followers.following import Effect, WithCursor
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


def gathered(feed: Feed, cursor: int, facts_max: int = 30) -> Batch:
    return asyncio.run(GatheringFeed(feed, 10).after(cursor, BatchLimits(facts_max), 5.0))


@pytest.mark.parametrize(("known", "expected"), [(0, 0), (7, 7), (10, 10), (24, 24), (30, 30), (95, 30)])
def test_a_batch_of_several_answers_ends_with_its_limit_or_the_head(known: int, expected: int) -> None:
    """It has the facts of up to three answers in order, once each, and the last one's cursor and head."""
    feed = GivenFacts(facts(1, known))
    batch = gathered(feed, 0)
    assert [fact.seq for fact in batch.facts] == list(range(1, expected + 1))
    assert (batch.cursor, batch.head) == (expected, known)
    assert feed.asked == list(range(0, max(expected, 1), 10))


def test_an_answer_that_bytes_have_cut_is_a_batch_alone() -> None:
    """Its facts may be large: a second answer would double what the consumer keeps in memory."""
    feed = GivenFacts(facts(1, 95), size=9)
    assert len(gathered(feed, 0).facts) == 9
    assert feed.asked == [0]


def test_only_the_first_answer_of_a_batch_is_waited_for() -> None:
    """What is there is not kept back for what may come."""
    waits: list[float] = []

    class Waited(GivenFacts):
        async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
            waits.append(wait_s)
            return await super().after(cursor, limits, wait_s)

    gathered(Waited(facts(1, 24)), 0)
    assert waits == [5.0, 0.0, 0.0]


def test_a_journal_that_is_replaced_between_two_answers_adds_nothing() -> None:
    """The facts of two journals are never in one batch; the next request meets the other one."""
    feed = GivenFacts(facts(1, 40))

    class Replaced(GivenFacts):
        async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
            answer = await super().after(cursor, limits, wait_s)
            self.known = facts(1, 3)
            return answer

    batch = gathered(Replaced(feed.known), 0)
    assert [fact.seq for fact in batch.facts] == list(range(1, 11))
    assert batch.head == 40


def test_a_failure_between_two_answers_loses_nothing() -> None:
    """The consumer's cursor has not moved, so the same facts are asked for again."""
    feed = GivenFacts(facts(1, 35))

    class Failing(GivenFacts):
        async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
            if cursor == 10 and self.asked.count(10) < 2:
                self.failures = [OSError("the link is cut")]
            return await super().after(cursor, limits, wait_s)

    async def effect(batch: Batch) -> None:
        got.extend(fact.seq for fact in batch.facts)

    got: list[int] = []
    following = follower(Consumed(effect), GatheringFeed(Failing(feed.known), 10), BatchLimits(20))
    asyncio.run(follow_to_head(following))
    assert got == list(range(1, 36))


class Consumed:
    """A consumer whose cursor is in memory."""

    def __init__(self, effect: Effect) -> None:
        self._effect = effect
        self.cursor = 0

    async def take(self, batch: Batch) -> None:
        await self._effect(batch)
        self.cursor = batch.cursor

    async def beyond(self, head: int) -> None:
        raise AssertionError(f"the journal ends at {head}")
