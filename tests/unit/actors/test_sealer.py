"""Old facts move while commits go on, and what fails is tried again later."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from actors import sealer
from actors.sealer import Sealer
from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal import pruning, sealing
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot

KEY = bytes(32)
FACTS = 1 << 10


def facts(first: int, last: int) -> list[Fact]:
    return [
        Fact(seq, 1000.0, "user-1", "req-1", TaskReleased(f"task-{seq}")) for seq in range(first, last + 1)
    ]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteJournal:
    """Three segments' worth of facts, and a snapshot behind two."""
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", 10)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", FACTS)
    monkeypatch.setattr(sealer, "PAUSE_S", 0.0)
    made = SqliteJournal(tmp_path, KEY)
    made.append(facts(1, 3 * FACTS))
    made.save_snapshot(Snapshot(2 * FACTS + 5, 1, {}))
    return made


def test_all_that_is_due_moves_between_commits(journal: SqliteJournal, tmp_path: Path) -> None:
    """The loop goes on turning: facts come in while segments are written and rows taken out."""
    moving = Sealer(lambda: journal, 0.0, 1 << 40)

    async def run() -> int:
        work = asyncio.create_task(moving.move_if_due())
        turns = 0
        while not work.done():
            journal.append(facts(journal.head() + 1, journal.head() + 1))
            turns += 1
            await asyncio.sleep(0)
        await work
        return turns

    assert asyncio.run(run()) > 4
    assert len(list((tmp_path / "segments").iterdir())) == 2
    assert journal.read_after(0, 1 << 40) == facts(1, journal.head())
    assert journal.verify() == journal.head()
    journal.close()


def test_what_fails_is_said_and_tried_again(
    journal: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no segment can be written nothing moves, nobody ends, and it is not tried at once again."""
    (tmp_path / "segments").write_text("in the way")
    moving = Sealer(lambda: journal, 0.0, 1 << 40)
    with caplog.at_level(logging.ERROR):
        asyncio.run(moving.move_if_due())
        asyncio.run(moving.move_if_due())
    assert len(caplog.records) == 1
    (tmp_path / "segments").unlink()
    monkeypatch.setattr(moving, "_not_before", 0.0)
    asyncio.run(moving.move_if_due())
    assert len(list((tmp_path / "segments").iterdir())) == 2
    journal.close()


def test_authors_go_with_the_facts_that_name_them(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once enough were added, those that only segments name are removed; facts are read as before."""
    monkeypatch.setattr(pruning, "AUTHORS_PER_PRUNING", 1000)
    monkeypatch.setattr(pruning, "AUTHORS_PER_REMOVAL", 300)

    def many(first: int) -> list[Fact]:
        return [replace(fact, actor=f"user-{fact.seq}") for fact in facts(first, first + FACTS - 1)]

    appended = facts(1, 3 * FACTS)
    for _ in range(3):
        appended += many(journal.head() + 1)
        journal.append(appended[journal.head() :])
    journal.save_snapshot(Snapshot(journal.head(), 1, {}))
    # As after an opening: the writer remembers no author.
    journal._words.forget()
    asyncio.run(Sealer(lambda: journal, 0.0, 1 << 40).move_if_due())
    assert journal._connection().execute("SELECT count(*) FROM authors").fetchone() == (1,)
    assert journal.read_after(0, 1 << 40) == appended
    assert journal.verify() == journal.head()
    journal.close()
