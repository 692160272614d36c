"""What every journal promises (ports.Journal), and what only the one on disk can."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.codec import UnknownKind
from helix_ray.core.events import (
    Erased,
    Fact,
    FactsErased,
    LoginRefused,
    TaskCompleted,
    TaskReleased,
    TasksRetired,
    TaskSubmitted,
)
from helix_ray.core.origin import NOWHERE, Origin
from helix_ray.journal.errors import EraseRefused, JournalLocked, SeqGap, StaleWriter
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.merkle import EMPTY_ROOT
from helix_ray.journal.proofs import verify_consistency, verify_inclusion
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Journal, Snapshot

KEY = b"k" * 32


class Store:
    """A place for journals of one sort: `open` starts or reopens, `take_over` opens beside a live writer."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: MemoryJournal | None = None
        self._opened: list[SqliteJournal] = []

    def open(self) -> Journal:
        if self._folder is None:
            self._memory = MemoryJournal(self._memory)
            return self._memory
        journal = SqliteJournal(self._folder, KEY)
        self._opened.append(journal)
        return journal

    def take_over(self, writer: Journal) -> Journal:
        if isinstance(writer, SqliteJournal):
            # As on a file system whose locks do not hold.
            writer._lock.release()
        return self.open()

    def close(self) -> None:
        for journal in self._opened:
            journal.close()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "data" if request.param == "sqlite" else None)
    yield made
    made.close()


def facts(first: int, count: int) -> list[Fact]:
    return [
        Fact(seq, 1000.5 + seq, "user-1", f"req-{seq}", TaskReleased(f"task-{seq}"))
        for seq in range(first, first + count)
    ]


def test_facts_come_back_in_order_and_equal(store: Store) -> None:
    """What was appended is read, field by field, in order."""
    journal = store.open()
    spec = {"title": "ü ✓", "type": "testing", "labels": {}, "deadline": 1e9, "run": None}
    mixed = [
        Fact(1, 1.25, "user-1", "req-1", TaskSubmitted("task-1", "user-1", spec, ["task-0"])),
        Fact(2, 1.25, "system", "req-2", TaskCompleted("task-1", 3, {"value": [1, 2.5, None, True]}, 0.125)),
        Fact(3, 2.0, "", "", LoginRefused("no'body", "::1")),
        Fact(4, 2.0, "system", "req-3", TasksRetired(["task-1"], 2)),
    ]
    journal.append(mixed[:3])
    journal.append(mixed[3:])
    assert journal.read_after(0, 10) == mixed
    assert journal.head() == 4


@pytest.mark.parametrize("first", [0, 2, 5])
def test_a_gap_is_refused_whole(store: Store, first: int) -> None:
    """Facts that do not follow on from the head are refused, and nothing of their batch stays."""
    journal = store.open()
    journal.append(facts(1, 3))
    with pytest.raises(SeqGap):
        journal.append(facts(first, 2))
    with pytest.raises(SeqGap):
        journal.append([*facts(4, 1), *facts(6, 1)])
    assert journal.head() == 3
    journal.append(facts(4, 1))
    assert [fact.seq for fact in journal.read_after(0, 10)] == [1, 2, 3, 4]


def test_reading_respects_cursor_and_limit(store: Store) -> None:
    """read_after starts behind the cursor and stops at the limit; behind the head there is nothing."""
    journal = store.open()
    assert journal.read_after(0, 5) == []
    journal.append(facts(1, 10))
    assert [fact.seq for fact in journal.read_after(3, 4)] == [4, 5, 6, 7]
    assert [fact.seq for fact in journal.read_after(8, 100)] == [9, 10]
    assert journal.read_after(10, 100) == []


def test_an_empty_append_changes_nothing(store: Store) -> None:
    """Appending no facts is allowed."""
    journal = store.open()
    journal.append([])
    assert journal.head() == 0


def test_the_newest_snapshot_comes_back(store: Store) -> None:
    """A snapshot is read as it was saved; a later one takes its place."""
    journal = store.open()
    assert journal.load_snapshot() is None
    journal.append(facts(1, 3))
    journal.save_snapshot(Snapshot(1, 1, {"seq": 1}))
    newer = Snapshot(3, 2, {"seq": 3, "tasks": [["task-1", None, 1.5]], "retired": {"failed": 2}})
    journal.save_snapshot(newer)
    assert journal.load_snapshot() == newer


def test_a_reopened_journal_goes_on_where_it_was(store: Store) -> None:
    """Facts, snapshot and head outlive the object; the next fact follows on."""
    journal = store.open()
    journal.append(facts(1, 3))
    journal.save_snapshot(Snapshot(2, 1, {"seq": 2}))
    journal.close()
    journal.close()
    again = store.open()
    assert again.head() == 3
    assert again.load_snapshot() == Snapshot(2, 1, {"seq": 2})
    again.append(facts(4, 2))
    assert again.read_after(0, 10) == facts(1, 5)


def test_every_opening_has_a_greater_epoch(store: Store) -> None:
    """Epochs grow, also when nothing was written under one."""
    epochs = []
    for _ in range(4):
        journal = store.open()
        epochs.append(journal.epoch)
        journal.close()
    assert epochs == sorted(set(epochs))


def test_a_writer_that_was_replaced_appends_no_more(store: Store) -> None:
    """Once another writer has opened the journal, the former one is refused, though its seq would fit."""
    stale = store.open()
    stale.append(facts(1, 2))
    writer = store.take_over(stale)
    with pytest.raises(StaleWriter):
        stale.append(facts(3, 1))
    writer.append(facts(3, 1))
    with pytest.raises(StaleWriter):
        stale.append(facts(3, 1))
    assert writer.read_after(0, 10) == facts(1, 3)


def test_where_a_fact_came_from_comes_back(store: Store) -> None:
    """Its origin is read as it was written; facts that share one share it, across commits and tiles."""
    journal = store.open()
    phone, desk = Origin("192.0.2.7", "sess-1", "curl/8 ✓"), Origin("2001:db8::/64", "token-1")
    made = [
        Fact(seq, 1.0 + seq // 3, f"user-{seq % 7 // 3}", f"req-{seq // 5}", TaskReleased("t"), origin)
        for seq, origin in enumerate([phone] * 300 + [desk, NOWHERE] * 200, 1)
    ]
    for first in range(0, 700, 70):
        journal.append(made[first : first + 70])
    assert journal.read_after(0, 1000) == made
    for after in (0, 1, 69, 70, 255, 256, 257, 300, 511, 650, 699):
        assert journal.read_after(after, 3) == made[after : after + 3]


# ------------------------------------------------------------------------------------------ proofs


def proven(journal: Journal, seq: int, size: int) -> bool:
    proof = journal.inclusion_proof(seq, size)
    return verify_inclusion(journal.leaf(seq), seq, size, proof, journal.root(size))


def test_every_fact_is_in_the_tree(store: Store) -> None:
    """Inclusion and consistency are proven at every size, across tiles and an opening."""
    journal = store.open()
    assert journal.root() == EMPTY_ROOT
    roots = {0: journal.root()}
    for first in (1, 2, 100, 256, 257, 258, 500, 513):
        journal.append(facts(journal.head() + 1, first - journal.head()))
        roots[journal.head()] = journal.root()
    journal.close()
    journal = store.open()
    journal.append(facts(514, 300))
    head = journal.head()
    for size, root in roots.items():
        assert journal.root(size) == root
        proof = journal.consistency_proof(size)
        assert verify_consistency(size, head, proof, root, journal.root())
        for seq in {1, size // 2, size - 1, size} & set(range(1, size + 1)):
            assert proven(journal, seq, size)
    assert all(proven(journal, seq, head) for seq in range(1, head + 1, 37))


def test_what_the_journal_does_not_have_is_not_proven(store: Store) -> None:
    """Beyond the head there are no roots and no proofs."""
    journal = store.open()
    journal.append(facts(1, 3))
    for ask in (
        lambda: journal.root(4),
        lambda: journal.leaf(4),
        lambda: journal.inclusion_proof(4),
        lambda: journal.inclusion_proof(0),
        lambda: journal.inclusion_proof(1, 4),
        lambda: journal.consistency_proof(2, 4),
        lambda: journal.consistency_proof(3, 2),
    ):
        with pytest.raises(ValueError, match=r"not 4|in a tree|not a prefix"):
            ask()


# ------------------------------------------------------------------------------------------ erasing


def erasure(journal: Journal, *seqs: int) -> Fact:
    return Fact(
        journal.head() + 1, 9.0, "user-admin", "req-e", FactsErased(list(seqs), "asked for by their author")
    )


def test_an_erased_fact_says_nothing_and_proves_everything(store: Store) -> None:
    """Content goes; header, leaf, root and proofs stay; who erased it and why is a fact."""
    journal = store.open()
    journal.append(facts(1, 300))
    journal.save_snapshot(Snapshot(290, 1, {"seq": 290}))
    leaf, root, proof = journal.leaf(7), journal.root(), journal.inclusion_proof(7)
    asked = erasure(journal, 7, 256, 7)
    journal.erase(asked)
    journal.append(facts(302, 2))
    read = journal.read_after(0, 400)
    assert read[6] == Fact(7, 1007.5, "user-1", "req-7", Erased("task-7", "TaskReleased"))
    assert read[255].event == Erased("task-256", "TaskReleased")
    assert [fact for fact in read if fact.seq not in (7, 256, 301)] == [
        fact for fact in facts(1, 303) if fact.seq not in (7, 256, 301)
    ]
    assert read[300] == asked
    assert (journal.leaf(7), journal.root(300), journal.inclusion_proof(7, 300)) == (leaf, root, proof)
    assert verify_consistency(300, 303, journal.consistency_proof(300), root, journal.root())
    journal.close()
    journal = store.open()
    assert journal.read_after(0, 400) == read
    assert proven(journal, 7, 303)
    assert journal.load_snapshot() == Snapshot(290, 1, {"seq": 290})


def test_only_what_the_snapshot_holds_is_erased(store: Store) -> None:
    """Facts that a start folds, facts that say what was erased, none, and what is no
    erasure are refused whole."""
    journal = store.open()
    journal.append(facts(1, 10))
    with pytest.raises(EraseRefused, match="only facts 1 to 0,"):
        journal.erase(erasure(journal, 1))
    journal.save_snapshot(Snapshot(8, 1, {}))
    journal.erase(erasure(journal, 2))
    journal.save_snapshot(Snapshot(11, 1, {}))
    for seqs in ((9, 12), (0,), (), (3, 11)):
        with pytest.raises(EraseRefused):
            journal.erase(erasure(journal, *seqs))
    with pytest.raises(EraseRefused):
        journal.erase(facts(12, 1)[0])
    assert journal.head() == 11
    assert journal.read_after(2, 8) == facts(3, 8)


# ------------------------------------------------------------------------------------------ on disk only

HOLD = """
import sys
from pathlib import Path
from helix_ray.journal.sqlite import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]), b"k" * 32)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_has_the_journal(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    """JournalLocked names the process that has taken the lock."""
    with pytest.raises(JournalLocked, match=f"process {holder.pid}"):
        SqliteJournal(tmp_path, KEY)


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    """The kernel lets go of the lock with its process; whoever waits for it gets it."""
    holder.kill()
    SqliteJournal(tmp_path, KEY, lock_wait_s=10.0).close()


def test_a_fact_of_a_later_release_is_not_half_understood(tmp_path: Path) -> None:
    """Reading a kind that this release does not know raises UnknownKind."""
    journal = SqliteJournal(tmp_path, KEY)
    journal.append(facts(1, 1))
    journal._connection().execute("UPDATE kinds SET name = 'TaskTeleported'")
    journal._words.forget()
    with pytest.raises(UnknownKind):
        journal.read_after(0, 1)
    journal.close()


@pytest.mark.parametrize(
    ("value", "read"),
    [(2**70, float(2**70)), ("half \ud83d", "half \\ud83d"), ({"a": [-(2**80)]}, {"a": [-float(2**80)]})],
)
def test_odd_but_possible_values_do_not_stop_the_writer(tmp_path: Path, value: Any, read: Any) -> None:
    """A task's result with a huge integer or a lone surrogate is kept, not raised over, and read
    escaped; the tree holds."""
    journal = SqliteJournal(tmp_path, KEY)
    journal.append([Fact(1, 1.0, "system", "req-1", TaskCompleted("task-1", 1, value))])
    journal.save_snapshot(Snapshot(1, 1, {"value": value}))
    event = journal.read_after(0, 1)[0].event
    assert isinstance(event, TaskCompleted)
    assert event.result == read
    assert journal.verify() == 1
    snapshot = journal.load_snapshot()
    assert snapshot is not None
    assert snapshot.body["value"] in (read, value)
    journal.close()


def test_reads_need_no_lock(tmp_path: Path) -> None:
    """A backup or a person with sqlite3 may read while the writer appends."""
    journal = SqliteJournal(tmp_path, KEY)
    journal.append(facts(1, 1))
    reader = sqlite3.connect(f"file:{tmp_path}/journal.sqlite?mode=ro", uri=True)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM facts").fetchone() == (1,)
    journal.append(facts(2, 1))
    assert reader.execute("SELECT count(*) FROM facts").fetchone() == (1,)
    reader.close()
    journal.close()


def test_what_was_erased_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    """Neither the file nor its log has a byte of it, while the journal is open and after."""
    journal = SqliteJournal(tmp_path, KEY)
    secret = "the patient's name"
    journal.append([Fact(1, 1.0, "user-1", "req-1", TaskCompleted("task-1", 1, secret)), *facts(2, 50)])
    assert secret.encode() in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    journal.save_snapshot(Snapshot(51, 1, {}))
    journal.erase(erasure(journal, 1))
    assert secret.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    journal.close()
    assert secret.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SqliteJournal(tmp_path, KEY).verify() == 52
