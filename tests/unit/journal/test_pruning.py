"""Authors that only facts in segments name leave the file, and nobody who reads or writes notices."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from helix_ray.backup import back_up, restore
from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal import copying, pruning, sealing
from helix_ray.journal.fact_reader import FactReader
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import load_or_create_key
from tests.unit.journal.killing import STATEMENTS, lives_before

LEVEL = 10
FACTS = 1 << LEVEL
ACTORS = 100


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a block, few rows a step, few authors a commit."""
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", LEVEL)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", FACTS)
    monkeypatch.setattr(pruning, "FACTS_PER_STEP", 300)
    monkeypatch.setattr(pruning, "AUTHORS_PER_REMOVAL", 40)


def fact(seq: int, actor: str | None = None) -> Fact:
    """A fact by one of ACTORS actors of its segment."""
    actor = actor or f"user-{(seq - 1) // FACTS}-{seq % ACTORS}"
    return Fact(seq, 1000.0 + seq, actor, f"req-{seq}", TaskReleased(f"task-{seq}"))


def facts(first: int, last: int) -> list[Fact]:
    return [fact(seq) for seq in range(first, last + 1)]


def opened(data: Path) -> SqliteJournal:
    ring = load_or_create_key(data, "journal.key")
    return SqliteJournal(data, ring.secrets[ring.current])


def move(journal: SqliteJournal) -> None:
    """Move all facts up to the newest snapshot."""
    while (first := journal.sealing_due(0.0, 1 << 60, 1e18)) is not None:
        assert journal.adopt(journal.seal(first))
        while journal.clear_some():
            pass


def prune(journal: SqliteJournal) -> None:
    """Remove authors as the master does."""
    for numbers in pruning.portions(journal.unnamed_authors(journal.remembered_authors())):
        journal.remove_authors(numbers)


def numbers(journal: SqliteJournal) -> list[int]:
    return [number for (number,) in journal._connection().execute("SELECT id FROM authors ORDER BY id")]


def named(journal: SqliteJournal) -> set[int]:
    rows = journal._connection().execute("SELECT author FROM facts WHERE author IS NOT NULL")
    return {number for (number,) in rows}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with facts of two openings: of three segments, two can move."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    with contextlib.closing(opened(folder)) as journal:
        journal.append(facts(1, FACTS))
    with contextlib.closing(opened(folder)) as journal:
        journal.append(facts(FACTS + 1, 3 * FACTS))
        journal.save_snapshot(Snapshot(2 * FACTS, 1, {}))
    return folder


def test_authors_without_facts_are_removed(data: Path) -> None:
    """Those that a row names stay, and so does the highest, so that no number is ever given twice."""
    with contextlib.closing(opened(data)) as journal:
        prune(journal)
        assert len(numbers(journal)) == 3 * ACTORS
        move(journal)
        prune(journal)
        assert set(numbers(journal)) == named(journal)
        assert len(numbers(journal)) == ACTORS
        journal.save_snapshot(Snapshot(3 * FACTS, 1, {}))
        move(journal)
        prune(journal)
        assert numbers(journal) == [3 * ACTORS]
        journal.append([fact(3 * FACTS + 1)])
        assert numbers(journal) == [3 * ACTORS, 3 * ACTORS + 1]
        assert journal.read_after(0, 1 << 40) == facts(1, 3 * FACTS + 1)
        assert journal.verify() == 3 * FACTS + 1


def test_authors_that_the_writer_remembers_stay(data: Path) -> None:
    """Facts may come to name them while others are looked for."""
    with contextlib.closing(opened(data)) as journal:
        again = [fact(seq, "user-again") for seq in range(3 * FACTS + 1, 4 * FACTS + 1)]
        journal.append(again)
        journal.append([fact(4 * FACTS + 1, "user-other")])
        journal.save_snapshot(Snapshot(4 * FACTS, 1, {}))
        move(journal)
        remembered = journal.remembered_authors()
        found = journal.unnamed_authors(remembered)
        # Between step 2 and step 3.
        last = fact(4 * FACTS + 2, "user-again")
        journal.append([last])
        journal.remove_authors(found)
        assert journal.read_after(4 * FACTS + 1, 10) == [last]
    with contextlib.closing(opened(data)) as journal:
        assert journal.read_after(4 * FACTS + 1, 10) == [last]
        assert journal.verify() == 4 * FACTS + 2


def test_a_forgotten_author_gets_another_number(data: Path) -> None:
    """An author that the writer has forgotten may be removed: its next fact adds a row."""
    with contextlib.closing(opened(data)) as journal:
        journal.append([fact(3 * FACTS + 1, "user-again")])
        remembered = journal.remembered_authors()
        journal._words.forget()
        found = journal.unnamed_authors(remembered)
        journal.append([fact(3 * FACTS + 2, "user-again")])
        journal.remove_authors(found)
        assert [f.actor for f in journal.read_after(3 * FACTS, 10)] == ["user-again"] * 2
        assert len(numbers(journal)) == 3 * ACTORS + 2


def test_a_kill_at_any_step_loses_no_author(data: Path, tmp_path: Path) -> None:
    """Every other statement in turn: facts are read as before, and the next time removes the rest."""
    with contextlib.closing(opened(data)) as journal:
        move(journal)

    def work(copy: Path) -> None:
        prune(opened(copy))

    counts = set()
    for copy in lives_before(data, tmp_path, work, STATEMENTS, every=2):
        with contextlib.closing(opened(copy)) as journal:
            counts.add(len(numbers(journal)))
            assert named(journal) <= set(numbers(journal))
            assert journal.verify() == 3 * FACTS
            prune(journal)
            assert set(numbers(journal)) == named(journal)
    # Before and after each commit but the last.
    assert counts == {300, 260, 220, 180, 140}


def test_a_backup_has_the_authors_of_its_rows(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all that it has copied moves to segments before it ends, and the authors go."""
    monkeypatch.setattr(copying, "FACTS_PER_STEP", FACTS)
    with contextlib.closing(opened(data)) as journal:

        def meanwhile(what: str, share: float) -> None:
            if share > 0.3:
                move(journal)
                prune(journal)

        back_up(data, tmp_path / "copy", meanwhile)
        assert len(numbers(journal)) == ACTORS
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "journal.sqlite")) as copy:
        # No rows before segments: the journal would delete them.
        assert copy.execute("SELECT min(seq) FROM facts").fetchone() == (2 * FACTS + 1,)
    restore(tmp_path / "copy", tmp_path / "again", lambda what, share: None)
    with contextlib.closing(opened(tmp_path / "again")) as journal:
        move(journal)
        assert journal.read_after(0, 1 << 40) == facts(1, 3 * FACTS)


def test_another_process_reads_on(data: Path) -> None:
    """A reader with cached authors reads what comes later by new ones."""
    with contextlib.closing(opened(data)) as journal, contextlib.closing(FactReader(data)) as reader:
        assert reader.read(0, 3 * FACTS, 1 << 40, 1 << 40) == facts(1, 3 * FACTS)
        move(journal)
        prune(journal)
        journal.append(facts(3 * FACTS + 1, 3 * FACTS + ACTORS))
        assert reader.read(0, 4 * FACTS, 1 << 40, 1 << 40) == facts(1, 3 * FACTS + ACTORS)
