"""Old facts move to segments: read, proven, erased, backed up as before, and nothing is
lost by a kill at any step."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray.backup import BackupFailed, back_up, restore
from helix_ray.core.events import Erased, Fact, FactsErased, TaskCompleted
from helix_ray.core.origin import Origin
from helix_ray.journal import sealing
from helix_ray.journal.errors import EraseRefused, JournalDamaged
from helix_ray.journal.merkle import subtree_of
from helix_ray.journal.proofs import verify_consistency, verify_inclusion
from helix_ray.journal.rows import RowReader
from helix_ray.journal.segment import BLOCK_FACTS, Segment
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import load_or_create_key
from tests.unit.journal.killing import CHANGING, STATEMENTS, lives_before

KEY = b"k" * 32
LEVEL = 11
FACTS = 1 << LEVEL
TOTAL = 2 * FACTS + 700
NEVER, NOTHING = 1e18, 1 << 60


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of two blocks."""
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", LEVEL)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", FACTS)


def fact(seq: int) -> Fact:
    origin = Origin("192.0.2.1", f"sess-{seq // 900}", "curl/8 ✓")
    result = {"text": f'line\n"quoted" ✓ {seq}', "n": seq}
    return Fact(
        seq,
        1000.0 + seq // 7,
        f"user-{seq // 50 % 3}",
        f"req-{seq // 5}",
        TaskCompleted(f"task-{seq}", 1, result),
        origin,
    )


def facts(first: int, last: int) -> list[Fact]:
    return [fact(seq) for seq in range(first, last + 1)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a snapshot behind two segments' worth of facts, and some more."""
    folder = tmp_path_factory.mktemp("made") / "data"
    folder.mkdir(mode=0o700)
    ring = load_or_create_key(folder, "journal.key")
    journal = SqliteJournal(folder, ring.secrets[ring.current])
    for first in range(1, TOTAL, 500):
        journal.append(facts(first, min(first + 499, TOTAL)))
    journal.save_snapshot(Snapshot(TOTAL - 100, 1, {"seq": TOTAL - 100}))
    journal.close()
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def opened(data: Path) -> SqliteJournal:
    ring = load_or_create_key(data, "journal.key")
    return SqliteJournal(data, ring.secrets[ring.current])


def seal_all(journal: SqliteJournal) -> None:
    """Move all that can move, as the master does."""
    while (first := journal.sealing_due(0.0, NOTHING, NEVER)) is not None:
        journal.adopt(journal.seal(first))
        while journal.clear_some():
            pass


def seal_in(data: Path) -> None:
    with contextlib.closing(opened(data)) as journal:
        seal_all(journal)


@pytest.fixture
def sealed(data: Path) -> Iterator[SqliteJournal]:
    """The same, moved: two segments, and the rest in the file."""
    journal = opened(data)
    seal_all(journal)
    yield journal
    journal.close()


def test_facts_are_read_wherever_they_lie(sealed: SqliteJournal, data: Path) -> None:
    """From any place, across blocks, segments and the file; the file itself is small."""
    assert {path.name for path in (data / "segments").iterdir()} == {
        "000000000001-000000002048.facts", "000000002049-000000004096.facts",
    }  # fmt: skip
    assert sealed.read_after(0, 1 << 60) == facts(1, TOTAL)
    for after, limit in itertools.product(
        (0, 1, 255, 256, 1023, 1024, 1025, 2040, 2048, 4090, 4096, 4100, TOTAL), (1, 10, 3000)
    ):
        assert sealed.read_after(after, limit) == facts(after + 1, min(after + limit, TOTAL)), (after, limit)
    rows = sealed._connection().execute("SELECT min(seq), count(*) FROM facts").fetchone()
    assert rows == (2 * FACTS + 1, TOTAL - 2 * FACTS)


def test_the_room_is_given_back_and_segments_are_small(data: Path) -> None:
    """The file shrinks to what it still holds, and a segment takes less than half of what rows took."""
    before = (data / "journal.sqlite").stat().st_size
    seal_in(data)
    after = (data / "journal.sqlite").stat().st_size
    stored = sum(path.stat().st_size for path in (data / "segments").iterdir())
    assert after < before * 0.3
    assert stored < (before - after) * 0.5


def test_proofs_do_not_change(data: Path) -> None:
    """Roots, leaves and paths are those of before, also after another opening and with more facts."""
    journal = opened(data)
    root, leaf, path = journal.root(), journal.leaf(777), journal.inclusion_proof(777)
    seal_all(journal)
    journal.append(facts(TOTAL + 1, TOTAL + 300))
    journal.close()
    journal = opened(data)
    assert (journal.root(TOTAL), journal.leaf(777), journal.inclusion_proof(777, TOTAL)) == (root, leaf, path)
    assert verify_consistency(TOTAL, TOTAL + 300, journal.consistency_proof(TOTAL), root, journal.root())
    for seq in (1, 1024, 1025, 2048, 2049, 4096, 4097, TOTAL + 300):
        assert verify_inclusion(
            journal.leaf(seq), seq, TOTAL + 300, journal.inclusion_proof(seq), journal.root()
        )
    assert journal.verify() == TOTAL + 300
    journal.close()


def test_a_segment_is_verified_by_itself(sealed: SqliteJournal, data: Path) -> None:
    """Its leaves have the root that it names, which is a node of the tree: nothing but
    the file is needed for it."""
    segment = Segment(data / "segments" / "000000002049-000000004096.facts")
    leaves: list[bytes] = []
    for start in (0, BLOCK_FACTS):
        leaves += RowReader(segment).leaves(
            segment.rows_from(segment.first + start), segment.first + start - 1
        )
    assert subtree_of(leaves) == segment.root == sealed._tree.node(LEVEL, 1)


def test_only_what_is_old_or_too_much_moves(data: Path) -> None:
    """By age, by size, and never beyond the newest snapshot."""
    journal = opened(data)
    newest_at = fact(FACTS).at
    assert journal.sealing_due(60.0, NOTHING, newest_at + 59) is None
    assert journal.sealing_due(60.0, NOTHING, newest_at + 61) == 1
    assert journal.sealing_due(1e9, 1 << 16, newest_at) == 1
    assert journal.sealing_due(1e9, NOTHING, newest_at) is None
    seal_all(journal)
    assert journal._tree.sealed() == 2 * FACTS
    journal.append(facts(TOTAL + 1, TOTAL + FACTS))
    assert journal.sealing_due(0.0, 0, NEVER) is None
    journal.save_snapshot(Snapshot(TOTAL + FACTS, 1, {}))
    assert journal.sealing_due(0.0, 0, NEVER) == 2 * FACTS + 1
    journal.close()


def test_a_journal_all_of_which_moved_goes_on(data: Path) -> None:
    """With no row left in the file, the next fact follows on."""
    journal = opened(data)
    journal.append(facts(TOTAL + 1, 3 * FACTS))
    journal.save_snapshot(Snapshot(3 * FACTS, 1, {}))
    seal_all(journal)
    assert journal._connection().execute("SELECT count(*) FROM facts").fetchone() == (0,)
    journal.close()
    journal = opened(data)
    journal.append(facts(3 * FACTS + 1, 3 * FACTS + 2))
    assert journal.read_after(3 * FACTS - 1, 10) == facts(3 * FACTS, 3 * FACTS + 2)
    assert journal.verify() == 3 * FACTS + 2
    journal.close()


def test_facts_come_in_while_others_move(data: Path) -> None:
    """A segment is written beside appends, which wait for nothing of it."""
    journal = opened(data)
    found: list[sealing.Sealed] = []
    thread = threading.Thread(target=lambda: found.append(journal.seal(1)))
    thread.start()
    while thread.is_alive():
        journal.append(facts(journal.head() + 1, journal.head() + 5))
    thread.join()
    journal.adopt(found[0])
    while journal.clear_some():
        journal.append(facts(journal.head() + 1, journal.head() + 5))
    assert journal.read_after(0, 1 << 60) == facts(1, journal.head())
    journal.close()


# ------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("place", [0.1, 0.49, 0.5, 0.9, 0.999])
def test_damage_in_a_segment_is_found(data: Path, place: float) -> None:
    """A flipped byte anywhere is found by whoever reads there, and by `verify`."""
    seal_in(data)
    path = data / "segments" / "000000000001-000000002048.facts"
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    with contextlib.closing(opened(data)) as journal, pytest.raises(JournalDamaged):
        journal.verify()


def test_a_missing_segment_is_noticed_at_the_start(data: Path) -> None:
    """So is one of another size; nothing is changed."""
    seal_in(data)
    path = data / "segments" / "000000002049-000000004096.facts"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(JournalDamaged, match="bytes, not"):
        opened(data)
    path.unlink()
    with pytest.raises(JournalDamaged, match="facts 2049 to 4096"):
        opened(data)
    path.write_bytes(content)
    opened(data).close()


def test_rows_that_do_not_fit_the_tree_do_not_move(data: Path) -> None:
    """What was changed in the file is not carried into a segment that looks whole."""
    con = sqlite3.connect(data / "journal.sqlite")
    with con:
        con.execute("UPDATE facts SET subject = 'task-0' WHERE seq = 1500")
    con.close()
    journal = opened(data)
    with pytest.raises(JournalDamaged, match="facts 1 to 2048 do not match the tree"):
        journal.seal(1)
    assert not list((data / "segments").glob("*.facts"))
    journal.close()


# ------------------------------------------------------------------------------------------ erasing, backups


def test_facts_in_segments_are_erased(sealed: SqliteJournal, data: Path) -> None:
    """The segment is written anew without them; every proof stays, and what they said is in no file."""
    leaf, root = sealed.leaf(1500), sealed.root()
    erasure = FactsErased([1500, 2, 4500], "asked for")
    sealed.erase(Fact(TOTAL + 1, 9e9, "user-admin", "req-e", erasure))
    read = sealed.read_after(0, 1 << 60)
    for seq in erasure.seqs:
        assert read[seq - 1].event == Erased(f"task-{seq}", "TaskCompleted")
        assert read[seq - 1].origin == fact(seq).origin
    assert [f for f in read[:TOTAL] if f.seq not in erasure.seqs] == [
        f for f in facts(1, TOTAL) if f.seq not in erasure.seqs
    ]
    assert (sealed.leaf(1500), sealed.root(TOTAL)) == (leaf, root)
    assert sealed.verify() == TOTAL + 1
    names = sorted(path.name for path in (data / "segments").iterdir())
    assert names == ["000000000001-000000002048-4797.facts", "000000002049-000000004096.facts"]
    segment = Segment(data / "segments" / names[0])
    kept = b"".join(row[3] or b"" for start in (1, 1025) for row in segment.rows_from(start))
    assert b"1499" in kept
    assert b"1500" not in kept
    sealed.save_snapshot(Snapshot(TOTAL + 1, 1, {}))
    with pytest.raises(EraseRefused):
        sealed.erase(Fact(TOTAL + 2, 9e9, "user-admin", "req-e", FactsErased([TOTAL + 1], "hide it")))


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_erased_while_it_moves_does_not_come_back(data: Path, killed: bool) -> None:
    """A segment that was read before is not adopted, nor left behind by a kill; the next
    one is written without it."""
    journal = opened(data)
    written = journal.seal(1)
    if killed:
        journal.close()
        journal = opened(data)
    journal.erase(Fact(TOTAL + 1, 9e9, "user-admin", "req-e", FactsErased([1500], "asked for")))
    assert not list((data / "segments").glob("*.facts"))
    assert not journal.adopt(written)
    seal_all(journal)
    assert journal.read_after(1499, 1)[0].event == Erased("task-1500", "TaskCompleted")
    assert journal.read_after(1498, 1) == [fact(1499)]
    assert journal.verify() == TOTAL + 1
    journal.close()


def test_a_segment_written_across_an_erasure_is_not_adopted(data: Path) -> None:
    """It gets its name after the erasure has looked for such files."""
    journal = opened(data)
    written = journal.seal(1)
    content = (data / "segments" / written.file).read_bytes()
    journal.erase(Fact(TOTAL + 1, 9e9, "user-admin", "req-e", FactsErased([3], "asked for")))
    (data / "segments" / written.file).write_bytes(content)
    assert not journal.adopt(written)
    assert not (data / "segments" / written.file).exists()
    assert journal.adopt(journal.seal(1))
    assert journal.read_after(2, 1)[0].event == Erased("task-3", "TaskCompleted")
    journal.close()


def test_a_backup_has_the_segments(sealed: SqliteJournal, data: Path, tmp_path: Path) -> None:
    """They are copied, checked and restored with the rest, for their user alone."""
    made = back_up(data, tmp_path / "copy", lambda what, share: None)
    assert made.seq == TOTAL
    restore(tmp_path / "copy", tmp_path / "again", lambda what, share: None)
    for folder in (tmp_path / "copy" / "segments", tmp_path / "again" / "segments"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    with contextlib.closing(opened(tmp_path / "again")) as journal:
        assert journal.read_after(0, 1 << 60) == facts(1, TOTAL)
    path = tmp_path / "copy" / "segments" / "000000000001-000000002048.facts"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackupFailed, match="could not be restored"):
        restore(tmp_path / "copy", tmp_path / "third", lambda what, share: None)


def test_a_backup_names_no_file_outside_its_folder(sealed: SqliteJournal, data: Path, tmp_path: Path) -> None:
    """Whoever made a backup signed it too: its names are checked before anything is
    read or written by them."""
    back_up(data, tmp_path / "copy", lambda what, share: None)
    segments = tmp_path / "copy" / "segments"
    (segments / "000000000001-000000002048.facts").rename(tmp_path / "copy" / "planted.facts")
    con = sqlite3.connect(tmp_path / "copy" / "journal.sqlite")
    with con:
        con.execute("UPDATE segments SET file = '../planted.facts' WHERE first = 1")
    con.close()
    with pytest.raises(BackupFailed, match="not a valid name of a segment"):
        restore(tmp_path / "copy", tmp_path / "again", lambda what, share: None)
    assert not (tmp_path / "again" / "planted.facts").exists()


# -------------------------------------------------------------------------------------- kill -9 at every step


@pytest.mark.parametrize(("names", "every"), [(CHANGING, 1), (STATEMENTS, 61)])
def test_a_kill_at_any_step_loses_nothing(
    data: Path, tmp_path: Path, names: frozenset[str], every: int
) -> None:
    """Whatever is left, the next start has every fact, and moves what was not moved yet."""
    kills = 0
    for left in lives_before(data, tmp_path, seal_in, names, every):
        kills += 1
        with contextlib.closing(opened(left)) as journal:
            assert journal.read_after(0, 1 << 60) == facts(1, TOTAL)
            seal_all(journal)
            assert journal.verify() == TOTAL
            assert journal._tree.sealed() == 2 * FACTS
        names = [path.name for path in (left / "segments").iterdir()]
        assert len(names) == 2
    print(kills, "kills")
    assert kills > 5


def test_a_kill_while_a_segment_is_erased_in_loses_nothing(data: Path, tmp_path: Path) -> None:
    """Either nothing was erased, or all of it, with the fact that says so."""
    seal_in(data)

    def erase(folder: Path) -> None:
        with contextlib.closing(opened(folder)) as journal:
            journal.erase(Fact(TOTAL + 1, 9e9, "user-admin", "req-e", FactsErased([1500, 4500], "asked for")))

    for left in lives_before(data, tmp_path, erase):
        with contextlib.closing(opened(left)) as journal:
            read = journal.read_after(0, 1 << 60)
            gone = [f.seq for f in read if isinstance(f.event, Erased)]
            assert gone == ([1500, 4500] if len(read) > TOTAL else [])
            assert journal.verify() == len(read)
            assert len(list((left / "segments").iterdir())) == 2
