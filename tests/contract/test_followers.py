"""What every follower with a cursor promises, whether its cursor is in its own store or in a file."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.events import TaskSubmitted
from helix_ray.core.orders import SubmitTasks
from helix_ray.engine import BATCH_BYTES_MAX
from helix_ray.followers.cursor import SLOT_BYTES, CursorFile
from helix_ray.followers.feed import BatchLimits, PlaneFeed
from helix_ray.followers.following import WithCursor
from helix_ray.journal.recent import RecentFacts
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Batch
from helix_ray.testing import MemoryControlPlane
from tests.cast import enrol
from tests.contract.followed import KEY, SPEC, GivenFacts, Seen, Tables, facts, follow_to_head, follower


@pytest.fixture(params=["one transaction", "effect, then cursor"])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Seen]]:
    """Start a follower, as often as its process does."""
    opened: list[Tables] = []

    def start() -> Seen:
        if request.param == "effect, then cursor":
            return Seen(None, CursorFile(tmp_path, "trial", 0))
        while opened:
            opened.pop().history.close()
        opened.append(Tables(tmp_path / "history.duckdb"))
        return Seen(opened[-1], None)

    yield start
    for tables in opened:
        tables.history.close()


def test_every_fact_comes_once_and_in_order_over_restarts(begin: Callable[[], Seen]) -> None:
    """Stopped between two batches and begun again, it goes on where it was."""
    feed = GivenFacts(facts(1, 95))
    seen: list[int] = []
    for steps in (1, 3, 2, 9):
        consumer = begin()
        following = follower(consumer, feed)
        for _ in range(steps):
            asyncio.run(following.step())
        seen += consumer.seqs
    assert seen == list(range(1, 96))
    assert following.lag().facts == 0
    assert (following.lag().name, following.lag().head) == ("trial", 95)


def test_wake_ups_lost_repeated_or_out_of_order_change_nothing(begin: Callable[[], Seen]) -> None:
    """An answer without news, an old one and one that repeats what is known are passed over."""
    told = facts(1, 30)

    class Odd(GivenFacts):
        answers: ClassVar[list[Batch]] = [
            Batch((), 0, 30), Batch(tuple(told[:10]), 10, 30), Batch(tuple(told[:10]), 10, 12),
            Batch((), 10, 30),
            Batch(tuple(told[5:20]), 20, 30), Batch(tuple(told[20:]), 30, 30),
            Batch(tuple(told[:10]), 10, 30),
        ]  # fmt: skip

        async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
            return self.answers.pop(0)

    consumer = begin()
    following = follower(consumer, Odd(told))
    for _ in range(7):
        asyncio.run(following.step())
    assert consumer.seqs == list(range(1, 31))
    assert consumer.cursor == 30


def test_what_fails_is_given_again_with_one_line_for_each_reason(
    begin: Callable[[], Seen], caplog: pytest.LogCaptureFixture
) -> None:
    """A feed or an effect that fails ten times with one reason is one warning; then it
    is said that it goes on."""
    caplog.set_level(logging.INFO, logger="helix_ray.followers.following")
    away = Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond"))
    feed = GivenFacts(facts(1, 10))
    feed.failures = [away, away, away, OSError(28, "No space left on device"), away]
    consumer = begin()
    consumer.fail = OSError(113, "No route to host")
    following = follower(consumer, feed)
    for _ in range(8):
        assert asyncio.run(following.step()) is False
    assert consumer.cursor == 0
    consumer.fail = None
    assert asyncio.run(following.step()) is True
    assert consumer.cursor == 10
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 4, warnings
    assert "No space left" in warnings[1]
    assert "No route to host" in warnings[3]
    assert caplog.records[-1].getMessage() == "trial follows the journal again, from fact 10"


@pytest.mark.parametrize("kill_after", [1, 2, 7])
def test_a_kill_between_effect_and_cursor_repeats_one_batch_and_skips_nothing(
    tmp_path: Path, kill_after: int
) -> None:
    """Killed with SIGKILL when the effect is done and the cursor has not moved, each time anew."""
    journal = SqliteJournal(tmp_path / "data", KEY)
    journal.append(facts(1, 95))
    effects = tmp_path / "effects"

    def run(after: int) -> int:
        command = [
            sys.executable,
            "-m",
            "tests.contract.follower_to_kill",
            str(tmp_path / "data"),
            str(effects),
            str(after),
            "95",
        ]
        return subprocess.run(command, check=False, timeout=200).returncode

    assert run(kill_after) == -signal.SIGKILL
    assert run(0) == 0
    lines = [int(line) for line in effects.read_text().split()]
    through = 10 * kill_after
    assert lines == [*range(1, through + 1), *range(through - 9, 96)]
    journal.close()


# ------------------------------------------------------------------------------------------ cursors


def test_a_cursor_in_a_file_outlives_its_process(tmp_path: Path) -> None:
    """The newest that was saved is read, each follower's under its own name; without a
    file it is the given one."""
    first, other = CursorFile(tmp_path, "webhooks", 7), CursorFile(tmp_path, "audit-sink", 0)
    assert (first.cursor, other.cursor) == (7, 0)
    for cursor in (8, 21, 34):
        first.save(cursor)
    assert CursorFile(tmp_path, "webhooks", 0).cursor == 34
    assert CursorFile(tmp_path, "audit-sink", 3).cursor == 3
    assert (tmp_path / "cursors" / "webhooks").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="not a valid name"):
        CursorFile(tmp_path, "../webhooks", 0)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_damaged_slot_repeats_a_batch_and_skips_none(tmp_path: Path, slot: int) -> None:
    """Whatever byte of one slot is wrong, the other's cursor counts: the same or the one before."""
    saved = CursorFile(tmp_path, "trial", 0)
    for cursor in (10, 20, 30):
        saved.save(cursor)
    path = tmp_path / "cursors" / "trial"
    whole = path.read_bytes()
    newest = 1  # the third write is in the second slot
    for place in range(len(whole[:SLOT_BYTES].split(b" " * 4)[0])):
        at = slot * SLOT_BYTES + place
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert CursorFile(tmp_path, "trial", 0).cursor == (20 if slot == newest else 30)
    path.write_bytes(whole[: SLOT_BYTES + 5])
    damaged = CursorFile(tmp_path, "trial", 0)
    assert damaged.cursor == 20
    damaged.save(40)
    assert CursorFile(tmp_path, "trial", 0).cursor == 40


def test_a_cursor_that_cannot_be_read_begins_where_none_does(tmp_path: Path) -> None:
    """The file is set aside, for whoever wants to know why; an empty one is one that was never written."""
    CursorFile(tmp_path, "trial", 0).save(10)
    path = tmp_path / "cursors" / "trial"
    path.write_bytes(b"\0" * 128)
    assert CursorFile(tmp_path, "trial", 5).cursor == 5
    assert [p.name.partition("-")[0] for p in path.parent.iterdir()] == ["trial.unusable"]
    path.touch()
    assert CursorFile(tmp_path, "trial", 6).cursor == 6


def test_a_cursor_beyond_the_head_is_of_another_journal(tmp_path: Path) -> None:
    """After a restore the effects of facts that come are asked for, and nobody waits until
    there are as many again."""
    CursorFile(tmp_path, "trial", 0).save(500)
    consumer = Seen(None, CursorFile(tmp_path, "trial", 0))
    feed = GivenFacts(facts(1, 40))
    following = follower(consumer, feed)
    asyncio.run(following.step())
    assert (consumer.ends, consumer.cursor) == ([40], 40)
    feed.known = facts(1, 45)
    asyncio.run(following.step())
    assert consumer.seqs == [41, 42, 43, 44, 45]


# ------------------------------------------------------------------------------------------ feeds


def test_batches_are_bounded_by_facts_and_bytes() -> None:
    """From memory and from the disk a batch ends with the fact that reaches either bound; none is skipped."""
    plane = MemoryControlPlane()
    text = "x" * 900_000
    for _ in range(3):
        plane.give(SubmitTasks(({**SPEC, "prompt": text},) * 7))
    for recent in (plane.engine._recent, RecentFacts()):
        plane.engine._recent = recent
        consumer, sizes = Seen(None, None), []
        cursor = 0
        while True:
            batch = plane.engine.events(cursor, 5000, SYSTEM)
            assert isinstance(batch, Batch)
            if not batch.facts:
                break
            sizes.append(len(batch.facts))
            consumer.seqs += [fact.seq for fact in batch.facts]
            cursor = batch.cursor
        assert consumer.seqs == list(range(1, plane.engine.state.seq + 1))
        assert max(sizes) * 900_000 < 2 * BATCH_BYTES_MAX


def test_a_filter_gives_what_its_principal_sees_and_moves_past_the_rest(tmp_path: Path) -> None:
    """A follower on behalf of somebody never gets stuck behind what they do not see."""
    plane = MemoryControlPlane()
    ada, bob = (Principal(f"user-{name}", name, ("developer",)) for name in ("ada", "bob"))
    enrol(plane.engine, ada, bob)
    start = plane.engine.state.seq
    for by in (ada, bob, bob, ada, bob):
        plane.give(SubmitTasks((SPEC,)), by)
    CursorFile(tmp_path, "trial", 0).save(start)
    owners: list[str] = []

    async def effect(batch: Batch) -> None:
        owners.extend(fact.event.owner for fact in batch.facts if isinstance(fact.event, TaskSubmitted))

    consumer = WithCursor(effect, CursorFile(tmp_path, "trial", 0))
    asyncio.run(follow_to_head(follower(consumer, PlaneFeed(plane, ada), BatchLimits(1))))
    assert owners == [ada.id, ada.id]
    assert consumer.cursor == plane.engine.state.seq


def test_several_followers_of_one_process_each_have_a_cursor(tmp_path: Path) -> None:
    """One that hangs or fails delays no other."""

    async def scenario() -> tuple[list[int], list[int]]:
        feed, stuck = GivenFacts(facts(1, 50)), asyncio.Event()

        async def hang(batch: Batch) -> None:
            await stuck.wait()

        good = Seen(None, CursorFile(tmp_path, "good", 0))
        bad = Seen(None, CursorFile(tmp_path, "bad", 0))
        bad.fail = OSError(111, "Connection refused")
        slow = WithCursor(hang, CursorFile(tmp_path, "slow", 0))
        runs = [asyncio.create_task(follower(each, feed).run()) for each in (bad, slow)]
        await follow_to_head(follower(good, feed))
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        return good.seqs, [each.cursor for each in (good, bad, slow)]

    seqs, cursors = asyncio.run(scenario())
    assert seqs == list(range(1, 51))
    assert cursors == [50, 0, 0]
