"""A start notices what is missing or changed, says so, and leaves the files as they are."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot

KEY = b"k" * 32


def facts(first: int, count: int) -> list[Fact]:
    return [Fact(i, 5.0, "user-1", "req-1", TaskReleased(f"task-{i}")) for i in range(first, first + count)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A journal of 20 facts, closed."""
    folder = tmp_path / "data"
    journal = SqliteJournal(folder, KEY)
    for first in range(1, 21, 5):
        journal.append(facts(first, 5))
    journal.close()
    return folder


def crashed(data: Path, into: Path) -> Path:
    """Copy what a kill -9 leaves behind after 20 more facts, whose rows are in the write-ahead log only."""
    journal = SqliteJournal(data, KEY)
    for first in range(21, 41, 5):
        journal.append(facts(first, 5))
    shutil.copytree(data, into, ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    return into


def run_sql(data: Path, statement: str) -> None:
    con = sqlite3.connect(data / "journal.sqlite")
    with con:
        con.execute(statement)
    con.close()


def test_nothing_is_lost_by_a_kill(data: Path, tmp_path: Path) -> None:
    """Rows that only the write-ahead log has are there after a crash."""
    journal = SqliteJournal(crashed(data, tmp_path / "crashed"), KEY)
    assert journal.read_after(0, 100) == facts(1, 40)
    assert journal.verify() == 40
    journal.close()


def test_a_lost_log_is_noticed_and_left_alone(data: Path, tmp_path: Path) -> None:
    """Without the write-ahead log the file looks sound; HEAD says which facts are missing."""
    left = crashed(data, tmp_path / "crashed")
    (left / "journal.sqlite-wal").unlink()
    with pytest.raises(
        JournalDamaged, match=r"facts 21 to 40 were acknowledged but are missing .*remove HEAD"
    ):
        SqliteJournal(left, KEY)


@pytest.mark.parametrize("noted", [False, True])
def test_an_owner_that_answers_first_says_when_head_claims(data: Path, tmp_path: Path, noted: bool) -> None:
    """Killed before it says so, a start finds all facts; killed afterwards, their loss is noticed."""
    journal = SqliteJournal(data, KEY, answers_first=True)
    journal.append(facts(21, 3))
    journal.append(facts(24, 300))
    if noted:
        journal.note_head()
    left = tmp_path / "killed"
    shutil.copytree(data, left, ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    lost = shutil.copytree(left, tmp_path / "lost")
    (lost / "journal.sqlite-wal").unlink()
    with pytest.raises(JournalDamaged, match="21 to 323") if noted else contextlib.nullcontext():
        SqliteJournal(lost, KEY).close()
    started = SqliteJournal(left, KEY)
    assert started.verify() == 323
    started.close()
    assert SqliteJournal(data, KEY).verify() == 323


def test_a_refused_start_changes_no_file(data: Path, tmp_path: Path) -> None:
    """A log that is cut short stays byte for byte as it is, for whoever rescues it."""
    left = crashed(data, tmp_path / "crashed")
    log = left / "journal.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-100])
    before = {path.name: path.read_bytes() for path in left.iterdir() if "lock" not in path.name}
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            SqliteJournal(left, KEY)
    kept = {name: (left / name).read_bytes() for name in before}
    assert kept == before


def test_removing_head_accepts_the_loss(data: Path, tmp_path: Path) -> None:
    """What the message names works: the journal goes on from what is there."""
    left = crashed(data, tmp_path / "crashed")
    (left / "journal.sqlite-wal").unlink()
    (left / "HEAD").unlink()
    journal = SqliteJournal(left, KEY)
    journal.append(facts(21, 1))
    assert journal.verify() == 21
    journal.close()


def test_an_old_copy_put_back_is_noticed(data: Path) -> None:
    """A whole journal, but of another history than the one that was acknowledged."""
    run_sql(data, "UPDATE facts SET subject = 'task-another' WHERE seq = 20")
    with pytest.raises(JournalDamaged, match="facts up to 20 differ from those that were acknowledged"):
        SqliteJournal(data, KEY)


NULLABLE = ("content", "at", "author", "request")
COLUMNS = {
    "facts": ("kind", "subject", "digest", *NULLABLE),
    "kinds": ("name", "version", "outcome"),
    "authors": ("epoch", "actor", "address", "credential", "user_agent"),
}


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, columns in COLUMNS.items() for column in columns]
)
@pytest.mark.parametrize("seq", [9, 270])
def test_a_changed_column_breaks_the_tree(data: Path, table: str, column: str, seq: int) -> None:
    """Every column of a row, and of what it names, is under its leaf: in a full tile and in the last one. A
    digest may only stand in the place of content."""
    journal = SqliteJournal(data, KEY)
    journal.append([
        Fact(i, 5.0 + i, f"user-{i}", f"req-{i}", TaskReleased(f"task-{i}")) for i in range(21, 291)
    ])  # fmt: skip
    journal.close()
    names = {"facts": seq, "kinds": 1, "authors": f"(SELECT max(author) FROM facts WHERE seq <= {seq})"}
    key = "seq" if table == "facts" else "id"
    for value in ("7", "x'00'", "'words'", *(("NULL",) if column in NULLABLE and seq == 270 else ())):
        damaged = data.with_name(f"damaged-{value.strip(chr(39))}")
        shutil.copytree(data, damaged)
        run_sql(damaged, f"UPDATE {table} SET {column} = {value} WHERE {key} = {names[table]}")
        said = r"one of facts 1 to 256 was changed|facts up to 290 differ from those|fact \d+ was changed"
        with pytest.raises(JournalDamaged, match=said):
            SqliteJournal(damaged, KEY)


@pytest.mark.parametrize("harm", ["DELETE FROM tree", "UPDATE tree SET hash = zeroblob(32) WHERE level = 9"])
def test_a_changed_node_breaks_the_tree(data: Path, harm: str) -> None:
    """Nodes are checked against what they stand over."""
    journal = SqliteJournal(data, KEY)
    journal.append(facts(21, 700))
    journal.close()
    run_sql(data, harm)
    with pytest.raises(JournalDamaged, match=r"node 0 of level|facts 1 to 512 was changed"):
        SqliteJournal(data, KEY)


def test_a_missing_row_breaks_the_chain(data: Path) -> None:
    """A row taken out of the middle is named."""
    run_sql(data, "DELETE FROM facts WHERE seq BETWEEN 7 AND 9")
    with pytest.raises(JournalDamaged, match="facts 7 to 9 are missing"):
        SqliteJournal(data, KEY)


def test_a_missing_file_is_noticed(data: Path) -> None:
    """HEAD without a journal is a loss, not a first start."""
    (data / "journal.sqlite").unlink()
    with pytest.raises(JournalDamaged, match="facts 1 to 20 were acknowledged"):
        SqliteJournal(data, KEY)


def test_a_head_signed_with_another_key_is_refused(data: Path) -> None:
    """Nobody without the key can say how far the journal went."""
    with pytest.raises(JournalDamaged, match="signed with another key"):
        SqliteJournal(data, b"x" * 32)


def test_one_torn_slot_of_head_is_no_damage(data: Path) -> None:
    """Power loss can tear the slot that was being written; the other one still speaks."""
    head = data / "HEAD"
    content = bytearray(head.read_bytes())
    content[10] ^= 1
    head.write_bytes(content)
    SqliteJournal(data, KEY).close()


def test_head_is_kept_between_marks(data: Path, tmp_path: Path) -> None:
    """HEAD follows every commit, marked or not: cutting off just the last one is noticed."""
    journal = SqliteJournal(data, KEY)
    journal.append(facts(21, 5))
    size = (data / "journal.sqlite-wal").stat().st_size
    journal.append(facts(26, 5))
    left = tmp_path / "left"
    shutil.copytree(data, left, ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    with (left / "journal.sqlite-wal").open("rb+") as log:
        log.truncate(size)
    with pytest.raises(JournalDamaged, match="facts 26 to 30"):
        SqliteJournal(left, KEY)


def test_the_head_of_another_journal_is_left_alone(data: Path, tmp_path: Path) -> None:
    """Somebody removes the folder of a running server, and starts another one there: that one's HEAD stays,
    also when the first one ends."""
    journal = SqliteJournal(data, KEY)
    journal.append(facts(21, 5))
    data.rename(tmp_path / "away")
    data.mkdir()
    with pytest.raises(OSError, match="another one"):
        journal.mark_head()
    assert not (data / "HEAD").exists()
    another = SqliteJournal(data, b"another key")
    another.append(facts(1, 3))
    journal.close()
    another.close()
    SqliteJournal(data, b"another key").close()


@pytest.mark.parametrize("put_back", [False, True])
def test_a_head_that_was_taken_away_meanwhile_is_written_again(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, put_back: bool
) -> None:
    """Within the second after which HEAD is made durable, also where an old copy took its place: a journal
    that is cut then is noticed."""
    shutil.copy(data / "HEAD", tmp_path / "HEAD")
    journal = SqliteJournal(data, KEY)
    journal.append(facts(21, 5))
    (data / "HEAD").unlink()
    if put_back:
        shutil.copy(tmp_path / "HEAD", data / "HEAD")
    journal.mark_head()
    assert "it is written again" in caplog.text
    journal.append(facts(26, 5))
    shutil.copytree(data, tmp_path / "killed")
    journal.close()
    with sqlite3.connect(tmp_path / "killed" / "journal.sqlite") as con:
        con.execute("DELETE FROM facts WHERE seq > 29")
    con.close()
    with pytest.raises(JournalDamaged, match="facts 30 to 30 were acknowledged"):
        SqliteJournal(tmp_path / "killed", KEY)


def test_garbage_is_not_a_journal(data: Path) -> None:
    """A file that is no database is reported, not replaced."""
    (data / "journal.sqlite").write_bytes(b"garbage " * 1000)
    with pytest.raises(JournalDamaged, match="cannot be read"):
        SqliteJournal(data, KEY)


def test_a_later_format_is_left_alone(data: Path) -> None:
    """A journal of a later release is not opened."""
    run_sql(data, "PRAGMA user_version = 4")
    with pytest.raises(JournalTooNew):
        SqliteJournal(data, KEY)


def test_a_failed_open_lets_go_of_the_lock(data: Path) -> None:
    """After a refusal the same process may try again."""
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            SqliteJournal(data, b"x" * 32)
    SqliteJournal(data, KEY).close()


@pytest.mark.parametrize(
    "harm", ["body = x'00'", "hash = zeroblob(32)", "mac = zeroblob(32)", "fold_version = 9"]
)
def test_a_bad_snapshot_falls_back_to_the_older_one(data: Path, harm: str) -> None:
    """A snapshot that is damaged, or of other facts, is not used; the one before it is."""
    journal = SqliteJournal(data, KEY)
    for seq in (5, 10, 15):
        journal.save_snapshot(Snapshot(seq, 1, {"seq": seq}))
    journal.close()
    run_sql(data, f"UPDATE snapshots SET {harm} WHERE seq = 15")
    journal = SqliteJournal(data, KEY)
    assert journal.load_snapshot() == Snapshot(10, 1, {"seq": 10})
    run_sql(data, "DELETE FROM snapshots WHERE seq = 10")
    assert journal.load_snapshot() is None
    journal.close()


@pytest.mark.parametrize("value", ["7", "x'00'", "'words'", "0.5"])
def test_a_value_of_another_type_is_damage(data: Path, value: str) -> None:
    """SQLite reads a damaged row with values of any type: a snapshot is not used, an epoch refused."""
    journal = SqliteJournal(data, KEY)
    for seq in (5, 10):
        journal.save_snapshot(Snapshot(seq, 1, {"seq": seq}))
    journal.close()
    for column in ("fold_version", "hash", "mac", "body"):
        damaged = Path(shutil.copytree(data, data.with_name(column)))
        run_sql(damaged, f"UPDATE snapshots SET {column} = {value} WHERE seq = 10")
        journal = SqliteJournal(damaged, KEY)
        assert journal.load_snapshot() == Snapshot(5, 1, {"seq": 5})
        journal.close()
    if value != "7":
        run_sql(data, f"UPDATE meta SET value = {value} WHERE name = 'epoch'")
        with pytest.raises(JournalDamaged, match="the epoch of its last writer was changed"):
            SqliteJournal(data, KEY)


def test_only_two_snapshots_are_kept(data: Path) -> None:
    """Older snapshots make room."""
    journal = SqliteJournal(data, KEY)
    for seq in range(1, 8):
        journal.save_snapshot(Snapshot(seq, 1, {}))
    rows = journal._connection().execute("SELECT seq FROM snapshots ORDER BY seq").fetchall()
    assert rows == [(6,), (7,)]
    with pytest.raises(ValueError, match="not in the journal"):
        journal.save_snapshot(Snapshot(99, 1, {}))
    journal.close()


def test_the_start_checks_the_tail_and_verify_checks_all(data: Path) -> None:
    """With a snapshot, a start checks what it folds, from its tile on; `verify` finds older damage."""
    journal = SqliteJournal(data, KEY)
    journal.append(facts(21, 580))
    journal.save_snapshot(Snapshot(515, 1, {}))
    journal.close()
    run_sql(data, "UPDATE facts SET subject = 'task-2' WHERE seq = 3")
    journal = SqliteJournal(data, KEY)
    with pytest.raises(JournalDamaged, match="one of facts 1 to 256 "):
        journal.verify()
    assert journal.verify(from_seq=257) == 344
    journal.close()
    run_sql(data, "UPDATE facts SET subject = 'task-2' WHERE seq = 550")
    with pytest.raises(JournalDamaged, match="facts up to 600 differ from those"):
        SqliteJournal(data, KEY)


def test_a_full_disk_leaves_nothing_half_written(data: Path) -> None:
    """When the pages run out the append raises; the next start has the facts before it, and can go on."""
    journal = SqliteJournal(data, KEY)
    con = journal._connection()
    con.execute(f"PRAGMA max_page_count = {con.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.append(facts(21, 5000))
    assert journal.head() == 20
    con.execute("PRAGMA max_page_count = 1000000")
    journal.append(facts(21, 5))
    assert journal.verify() == 25
    journal.close()
