"""A journal of format 1 is checked, kept, and becomes one of the present format, whatever
ends the process in between; one of format 2 becomes it where it is."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import orjson
import pytest

from helix_ray.backup import back_up, restore
from helix_ray.core.events import Fact
from helix_ray.journal.check import check_all, check_format1
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.layout import FORMAT, TREE_FORMAT, connect
from helix_ray.journal.proofs import verify_consistency
from helix_ray.journal.reading import ReadingJournal
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import load_or_create_key
from tests.golden import make
from tests.unit.journal.killing import lives_before
from tests.unit.journal.test_sealing import facts

KEY = make.DISK_KEY


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of format 1."""
    folder = Path(shutil.copytree(make.FOLDER / "format1", tmp_path / "data"))
    for path in folder.iterdir():
        path.chmod(0o600)
    return folder


def opened(data: Path) -> list[Fact]:
    """Open a journal, check all of it, and return its facts."""
    with contextlib.closing(SqliteJournal(data, KEY)) as journal:
        facts = journal.read_after(0, 1 << 30)
        assert journal.verify() == len(facts)
        kept = journal.load_snapshot()
        assert kept is not None
        assert kept.seq == len(facts)
        return facts


def test_everything_is_there_and_a_copy_is_kept(data: Path) -> None:
    """Facts, snapshots and epoch go over; the copy is the old journal, whole; it is done once."""
    journal = SqliteJournal(data, KEY)
    assert journal.epoch == 3
    journal.close()
    assert opened(data) == make.read("journal-1")
    copy = data / "journal.sqlite.format1"
    assert copy.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(connect(copy, "ro")) as con:
        assert check_format1(con, None)[0] == len(make.read("journal-1"))
    with contextlib.closing(sqlite3.connect(f"file:{copy}", uri=True)) as now:
        was = make.FOLDER / "format1" / "journal.sqlite"
        now.execute("ATTACH ? AS was", (f"file:{was}?immutable=1",))
        for table in ("facts", "snapshots", "meta"):
            rows = [
                now.execute(f"SELECT * FROM {name}.{table} ORDER BY 1").fetchall() for name in ("main", "was")
            ]
            assert rows[0] == rows[1]
    names = {path.name for path in data.iterdir()}
    assert names == {"journal.sqlite", "journal.sqlite.format1", "HEAD", "journal.lock"}


def test_facts_that_only_the_log_has_go_over(data: Path, tmp_path: Path) -> None:
    """A killed release of format 1 leaves rows in its write-ahead log."""
    con = sqlite3.connect(data / "journal.sqlite", isolation_level=None)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("CREATE TABLE of_others (x)")
    left = Path(shutil.copytree(data, tmp_path / "left"))
    con.close()
    assert (left / "journal.sqlite-wal").stat().st_size
    assert opened(left) == make.read("journal-1")


def test_an_older_release_can_read_what_tells_it_to_stop(data: Path) -> None:
    """It reads HEAD first, with these names, and then finds a format that it does not know: JournalTooNew."""
    opened(data)
    slot = (data / "HEAD").read_bytes().partition(b" ")[0]
    assert set(orjson.loads(slot)) == {"seq", "hash", "epoch", "saved_at"}
    with contextlib.closing(sqlite3.connect(data / "journal.sqlite")) as con:
        assert con.execute("PRAGMA user_version").fetchone() == (FORMAT,)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE facts SET actor = 'mallory' WHERE seq = 7", "fact 7 was changed after it was written"),
        ("DELETE FROM facts WHERE seq = 7", "facts 7 to 7 are missing"),
        ("DELETE FROM facts WHERE seq > 40", "were acknowledged but are missing"),
    ],
)
def test_what_is_damaged_is_not_upgraded(data: Path, harm: str, said: str) -> None:
    """The old hashes are checked before anything is written, and the file stays as it is."""
    con = sqlite3.connect(data / "journal.sqlite")
    with con:
        con.execute(harm)
    con.close()
    before = (data / "journal.sqlite").read_bytes()
    with pytest.raises(JournalDamaged, match=said):
        SqliteJournal(data, KEY)
    assert (data / "journal.sqlite").read_bytes() == before
    assert not (data / "journal.sqlite.format1").exists()


def test_it_waits_for_those_who_read(data: Path) -> None:
    """While another process reads the old file, the start says so and changes nothing."""
    reader = sqlite3.connect(data / "journal.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM facts").fetchone()
    with pytest.raises(sqlite3.OperationalError, match=r"locked|being read"):
        SqliteJournal(data, KEY)
    reader.close()
    assert opened(data) == make.read("journal-1")


def test_one_that_cannot_be_written_is_not_served(data: Path) -> None:
    """For reading only there is no upgrade: the start goes on trying."""
    with pytest.raises(OSError, match="cannot be upgraded"):
        ReadingJournal(data, KEY)


def test_backups_of_format_1_are_made_and_restored(data: Path, tmp_path: Path) -> None:
    """A backup before the upgrade is a backup; restored, it is upgraded by the next start."""
    ring = load_or_create_key(data, "journal.key")
    (data / "HEAD").unlink()
    made = back_up(data, tmp_path / "copy", lambda what, share: None)
    restore(tmp_path / "copy", tmp_path / "again", lambda what, share: None)
    with contextlib.closing(SqliteJournal(tmp_path / "again", ring.secrets[ring.current])) as journal:
        assert journal.head() == made.seq == len(make.read("journal-1"))


# -------------------------------------------------------------------------------------- kill -9 at every step


def test_a_kill_at_any_step_loses_nothing(data: Path, tmp_path: Path) -> None:
    """Whatever is left, the next start has every fact, the snapshot, and a copy of the old journal."""
    expected, kills = make.read("journal-1"), 0
    for left in lives_before(data, tmp_path, lambda folder: SqliteJournal(folder, KEY).close()):
        kills += 1
        assert opened(left) == expected
        names = {path.name for path in left.iterdir()}
        assert names == {"journal.sqlite", "journal.sqlite.format1", "HEAD", "journal.lock"}
    assert kills > 15
    print(kills, "kills")


FACTS = 2600
FORMER_TABLE = """CREATE TABLE nodes (
    level INTEGER NOT NULL, place INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, place)
) WITHOUT ROWID"""


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A data directory of format 2, whose nodes are in the order of their levels."""
    folder = tmp_path / "second"
    with contextlib.closing(SqliteJournal(folder, KEY)) as journal:
        journal.append(facts(1, FACTS))
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as con:
        con.execute(FORMER_TABLE)
        con.execute("INSERT INTO nodes SELECT level, (last >> level) - 1, hash FROM tree")
        con.execute("DROP TABLE tree")
        con.execute(f"PRAGMA user_version = {TREE_FORMAT}")
    return folder


def test_nodes_of_format_2_get_another_order(second: Path) -> None:
    """Whoever only reads, and a start, find the same tree, which then grows; the former table is gone."""
    reading = ReadingJournal(second, KEY)
    root, path = reading.root(), reading.inclusion_proof(7)
    assert reading.verify() == FACTS
    reading.close()
    journal = SqliteJournal(second, KEY)
    assert (journal.root(), journal.inclusion_proof(7)) == (root, path)
    journal.append(facts(FACTS + 1, FACTS + 300))
    assert journal.verify() == FACTS + 300
    assert verify_consistency(FACTS, FACTS + 300, journal.consistency_proof(FACTS), root, journal.root())
    journal.close()
    with contextlib.closing(sqlite3.connect(second / "journal.sqlite")) as con:
        names = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {"tree", "facts"} <= names
        assert "nodes" not in names


def test_a_backup_of_format_2_has_the_present_one(second: Path, tmp_path: Path) -> None:
    """The copy has the whole tree, in the present order."""
    load_or_create_key(second, "journal.key")
    (second / "HEAD").unlink()
    back_up(second, tmp_path / "backup", lambda *_: None)
    with contextlib.closing(connect(tmp_path / "backup" / "journal.sqlite", "ro")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert check_all(copy, None)[0] == FACTS


@pytest.mark.parametrize(
    "harm", ["UPDATE nodes SET hash = zeroblob(32) WHERE level = 9", "DELETE FROM nodes"]
)
def test_damaged_nodes_of_format_2_are_found(second: Path, harm: str) -> None:
    """Before they are moved, and the file stays as it is."""
    with contextlib.closing(sqlite3.connect(second / "journal.sqlite")) as con, con:
        con.execute(harm)
    with pytest.raises(JournalDamaged):
        SqliteJournal(second, KEY)
    with contextlib.closing(connect(second / "journal.sqlite", "ro")) as con:
        assert con.execute("PRAGMA user_version").fetchone() == (TREE_FORMAT,)
