"""The audit of the history is compared with the journal: whatever was changed in the file is found."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from helix_ray.audit_compare import HISTORY_FILE, CannotCompare, Compared, compare_stopped
from helix_ray.cli.main import app
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from helix_ray.views.audit import AUDIT
from helix_ray.views.history import History
from tests.unit.audit_world import BEGAN, AuditWorld
from tests.unit.views.journals import RandomEngine


@pytest.mark.parametrize("seed", range(2))
def test_what_follows_from_the_facts_compares_clean(tmp_path: Path, seed: int) -> None:
    """Whatever batches the history read; while it is open, after a restart, and built anew."""
    world = AuditWorld(tmp_path / "data", seed)
    world.acts(60)
    world.follow(world.seq // 2)
    assert world.compared().difference is None
    world.follow()
    found = world.compared()
    assert (found.facts, found.difference) == (world.seq, None)
    assert found.records > 60
    world.close()
    assert world.compared_stopped().difference is None


@pytest.mark.parametrize("seed", range(2))
def test_erasures_compare_clean(tmp_path: Path, seed: int) -> None:
    """Before the history has taken them in, afterwards, and where it is built anew from what is left."""
    world = AuditWorld(tmp_path / "data", seed)
    world.acts(60)
    world.follow(world.seq - 20)
    for _ in range(3):
        world.erase(*world.erasable(15))
        assert world.compared().difference is None
        world.follow()
        assert world.compared().difference is None
        world.acts(5)
    world.close()
    (world.data / "history.duckdb").unlink()
    again = AuditWorld(world.data, seed)
    again.follow()
    assert again.compared().difference is None
    again.close()


def test_facts_as_they_are_made_and_as_they_are_stored_have_the_same_records(tmp_path: Path) -> None:
    """The history follows what the master has in memory; a comparison reads the files."""
    made = RandomEngine(3)
    made.run(150)
    facts = made.journal.read_after(0, 10_000)
    journal, history = SqliteJournal(tmp_path, b"k" * 32), History(tmp_path / HISTORY_FILE)
    journal.append(facts)
    history.ingest(facts)
    history.close()
    journal.close()
    assert compare_stopped(tmp_path) == Compared(len(facts), 46)


@pytest.mark.parametrize("acts", [1, 8])
def test_a_history_behind_the_journal_compares_clean(tmp_path: Path, acts: int) -> None:
    """An older copy of the file has less, and nothing else; where it claims more, the first that it lacks
    is found."""
    world = AuditWorld(tmp_path / "data", 7)
    world.acts(acts)
    world.follow()
    world.close()
    shutil.copy(world.data / HISTORY_FILE, tmp_path / "older")
    through = world.seq
    again = AuditWorld(world.data, 8)
    again.seq = through
    again.acts(acts)
    again.follow()
    again.close()
    assert again.compared_file(tmp_path / "older")[::2] == (through, None)
    with duckdb.connect(str(tmp_path / "older")) as con:
        con.execute("UPDATE position SET ingested = ?", [again.seq])
    found = again.compared_file(tmp_path / "older").difference
    assert found is not None
    assert (found.kind, found.seq) == ("missing", through + 1)


def test_there_may_be_nothing_to_compare(tmp_path: Path) -> None:
    """A journal or history that is missing, damaged or of another release is refused: it does not differ."""
    with pytest.raises(CannotCompare, match="does not exist"):
        compare_stopped(tmp_path)
    history = History(tmp_path / HISTORY_FILE)
    history.close()
    with pytest.raises(CannotCompare, match="does not contain a journal"):
        compare_stopped(tmp_path)
    with duckdb.connect(str(tmp_path / HISTORY_FILE)) as con:
        con.execute("UPDATE position SET layout = 1")
    with pytest.raises(CannotCompare, match="another release"):
        compare_stopped(tmp_path)
    (tmp_path / HISTORY_FILE).write_text("no database")
    with pytest.raises(CannotCompare, match="cannot be read"):
        compare_stopped(tmp_path)


def test_a_file_with_more_than_its_tables_is_built_anew(tmp_path: Path) -> None:
    """A macro or a view would have searches say something else than the tables."""
    world = AuditWorld(tmp_path / "data", 7)
    world.acts(3)
    world.follow()
    world.close()
    with duckdb.connect(str(world.data / HISTORY_FILE)) as con:
        con.execute("CREATE MACRO contains(a, b) AS false")
    history = History(world.data / HISTORY_FILE)
    assert history.cursor == 0
    history.close()


# ------------------------------------------------------------------------------------------ tampering

TAMPERS = int(os.environ.get("HELIX_HISTORY_TAMPERS", "32"))
# An erased fact does not say whether a task was queued again by hand: such a record may be missing.
KNOWN = "SELECT seq FROM audit WHERE NOT (erased AND action = 'retry_task') ORDER BY seq"
# A value that no record has, for each type.
OTHER = {"BIGINT": 1 << 40, "DOUBLE": 1.5, "BOOLEAN": None, "VARCHAR": "other"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """A closed data directory with acts, erasures and retention."""
    world = AuditWorld(tmp_path_factory.mktemp("made") / "data", 1)
    world.acts(25)
    world.follow()
    world.erase(*world.erasable(10))
    world.acts(15)
    keep_s = 3 / 4 * (world.at - BEGAN)
    world.keep(keep_s)
    world.follow()
    world.prune(keep_s)
    world.keep(1e12)
    world.follow()
    assert world.compared().difference is None
    world.close()
    return world


Tamper = Callable[[duckdb.DuckDBPyConnection, random.Random, list[int]], "int | None"]


def edited(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    """Change one value of a record."""
    seq, column = chance.choice(seqs), chance.choice([c for c in AUDIT if c.name != "seq"])
    kind = column.sql.split()[0]
    value = "NOT erased" if kind == "BOOLEAN" else f"'{OTHER[kind]}'::{kind}"
    con.execute(f"UPDATE audit SET {column.name} = {value} WHERE seq = ?", [seq])
    return seq


def deleted(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    seq = chance.choice(seqs)
    con.execute("DELETE FROM audit WHERE seq = ?", [seq])
    return seq


def doubled(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    seq = chance.choice(seqs)
    con.execute("INSERT INTO audit SELECT * FROM audit WHERE seq = ?", [seq])
    return seq


def invented(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    """Add a record where none is: between two, before the first fact or after the last."""
    source = chance.choice(seqs)
    seq = chance.choice([0, -7, max(seqs) + 100, *(set(range(min(seqs), max(seqs))) - set(seqs))])
    con.execute(
        "INSERT INTO audit SELECT * REPLACE (? AS seq, ? AS last_seq) FROM audit WHERE seq = ?",
        [seq, seq, source],
    )
    return seq


def exchanged(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    """Have two records change places."""
    one, other = sorted(chance.sample(seqs, 2))
    con.execute(
        "UPDATE audit SET seq = if(seq = $1, $2, $1), last_seq = if(seq = $1, $2, $1) WHERE seq IN ($1, $2)",
        {"1": one, "2": other},
    )
    return one


def moved_position(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> None:
    """Claim facts that were not taken in, or that more was removed."""
    con.execute(
        chance.choice([
            "UPDATE position SET ingested = ingested + 1", "UPDATE position SET audit_removed = ingested",
            "UPDATE position SET audit_removed = 0", "UPDATE position SET ingested = ingested - 9",
        ])
    )  # fmt: skip


def removed_as_if_old(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    """Remove all records up to one, and say that retention did."""
    last = chance.choice(seqs)
    con.execute("DELETE FROM audit WHERE seq <= ?", [last])
    con.execute("UPDATE position SET audit_removed = ?", [last])
    return min(seqs)


def reset(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> None:
    """Change what is known of a thing."""
    con.execute(
        chance.choice([
            "DELETE FROM configured WHERE thing LIKE 'project%'",
            "UPDATE configured SET settings = '{}' WHERE thing LIKE 'project%'",
            "INSERT INTO configured VALUES ('project p-none', '{\"limits\":{}}')",
        ])
    )  # fmt: skip


def resigned(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> int:
    """Change, remove, double or invent a checkpoint."""
    seq = chance.choice(
        [seq for (seq,) in con.execute("SELECT seq FROM checkpoints ORDER BY seq").fetchall()]
    )
    made = chance.choice([0, -7, seq + 1, 1 << 40])
    how, of = chance.choice([
        ("UPDATE checkpoints SET root = 'other'", seq), ("UPDATE checkpoints SET note = note || '\n'", seq),
        ("UPDATE checkpoints SET size = size + 1", seq), ("UPDATE checkpoints SET moment = moment + 1", seq),
        ("DELETE FROM checkpoints", seq), ("INSERT INTO checkpoints FROM checkpoints", seq),
        (f"INSERT INTO checkpoints SELECT * REPLACE ({made} AS seq) FROM checkpoints", made),
        (f"UPDATE checkpoints SET seq = {made}", min(seq, made)),
    ])  # fmt: skip
    con.execute(f"{how} WHERE seq = ?", [seq])
    return of


def hidden(con: duckdb.DuckDBPyConnection, chance: random.Random, seqs: list[int]) -> None:
    """Have searches see something else than what a look at the table shows."""
    con.execute(
        chance.choice([
            "CREATE MACRO contains(a, b) AS false", "CREATE MACRO json_array(a) AS '[]'",
            "ALTER TABLE audit RENAME TO kept; CREATE VIEW audit AS FROM kept WHERE user_id <> 'user-1'",
            "CREATE MACRO duckdb_functions() AS TABLE SELECT 1", "CREATE SCHEMA other",
            "INSERT INTO position FROM position", "DELETE FROM position",
        ])
    )  # fmt: skip


TAMPERERS: list[Tamper] = [
    edited,
    edited,
    edited,
    deleted,
    doubled,
    invented,
    exchanged,
    moved_position,
    removed_as_if_old,
    reset,
    hidden,
    resigned,
    resigned,
]


@pytest.mark.parametrize("seed", range(TAMPERS))
def test_every_tamper_is_found(made: AuditWorld, tmp_path: Path, seed: int) -> None:
    """With the seq of the first record that is not what the journal says."""
    chance = random.Random(seed)
    tamper = TAMPERERS[seed % len(TAMPERERS)]
    shutil.copy(made.data / HISTORY_FILE, tmp_path / HISTORY_FILE)
    with duckdb.connect(str(tmp_path / HISTORY_FILE)) as con:
        seqs = [seq for (seq,) in con.execute(KNOWN).fetchall()]
        expected = tamper(con, chance, seqs)
    found = made.compared_file(tmp_path / HISTORY_FILE).difference
    assert found is not None, tamper
    assert expected in (None, found.seq), (tamper, found)


def test_the_command(made: AuditWorld, tmp_path: Path) -> None:
    """It names the first record that is not what the journal says, and what to do, and ends with 1."""
    data = tmp_path / "data"
    shutil.copytree(made.data, data)
    run = CliRunner()
    command = ["audit", "compare", "--data-dir", str(data)]
    clean = run.invoke(app, command)
    assert clean.exit_code == 0, clean.stderr
    assert f"of facts 1 to {made.seq} are what the journal says" in clean.stdout
    with duckdb.connect(str(data / HISTORY_FILE)) as con:
        [(seq,)] = con.execute(
            "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit) RETURNING seq"
        ).fetchall()
    found = run.invoke(app, command)
    assert found.exit_code == 1
    assert f"from fact {seq} on, a record is missing" in found.stderr
    (data / HISTORY_FILE).unlink()
    again = run.invoke(app, command)
    assert again.exit_code == 1
    assert "the next start builds it" in again.stderr
    load_or_create_key(data, HEAD_KEY_FILE)
    (data / HEAD_KEY_FILE).chmod(0o644)
    unsafe = run.invoke(app, command)
    assert unsafe.exit_code == 1
    assert "can be read by other users" in unsafe.stderr
