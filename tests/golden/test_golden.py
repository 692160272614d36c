"""Journals of every released format fold into the state that they folded into then."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.audit.records import RECORDS_VERSION, records_of
from helix_ray.core.audit.settings import Settings
from helix_ray.core.codec import FIELDS, FORMER_FIELDS, KINDS, VERSIONS
from helix_ray.core.erasure import is_in_use
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Erased, Fact, FactsErased, subject_of
from helix_ray.core.evolve import evolve
from helix_ray.core.invariants import check
from helix_ray.core.origin import NOWHERE
from helix_ray.core.policy import Policy
from helix_ray.core.state import State, Worker
from helix_ray.engine import Engine
from helix_ray.journal.proofs import verify_inclusion
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.testing import RealClock
from helix_ray.views.audit import compare, content
from helix_ray.views.history import History
from tests.golden import make

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
RECORDS = "cde30aef43985d0c155385d5c872da0a3b183e812b12874524b8d1c3b261b1f4"
JOURNALS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def fold(name: str) -> bytes:
    """Return the dumped state that a journal folds into."""
    return orjson.dumps(snapshot.dump(make.folded(name)))


@pytest.mark.parametrize("name", JOURNALS)
def test_it_folds_into_what_it_did_then(name: str) -> None:
    """The state is the one that was committed beside the journal."""
    assert orjson.loads(fold(name)) == orjson.loads((FOLDER / f"{name}.state.json").read_bytes())


def test_every_kind_of_fact_occurs() -> None:
    """A kind that is added to the core needs a golden journal that has it."""
    found = {type(fact.event).__name__ for name in JOURNALS for fact in make.read(name)}
    assert found == set(KINDS)


@pytest.mark.parametrize("name", JOURNALS)
def test_the_order_of_hashing_does_not_matter(name: str) -> None:
    """Two processes with other string hashes fold to the same bytes."""
    command = [sys.executable, "-m", "tests.golden.test_golden", name]
    digests = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {hashlib.sha256(fold(name)).hexdigest().encode() + b"\n"}


def test_their_records_are_what_they_were() -> None:
    """Raise RECORDS_VERSION with the digest, unless only a journal was added: a history with the records of
    before would not compare clean."""
    found = hashlib.sha256()
    for name in JOURNALS:
        known: dict[str, Settings] = {}
        for record in records_of(make.read(name)):
            compare(record, known)
            found.update(orjson.dumps(content(record)))
    assert (RECORDS_VERSION, found.hexdigest()) == (6, RECORDS)


@pytest.mark.parametrize("name", JOURNALS)
def test_the_journal_on_disk_keeps_it_whole(name: str, tmp_path: Path) -> None:
    """Written to SQLite and read back, every fact is equal."""
    facts = make.read(name)
    journal = SqliteJournal(tmp_path, b"k" * 32)
    journal.append(facts)
    assert journal.read_after(0, len(facts)) == facts
    assert journal.verify() == len(facts)
    journal.close()


def test_what_no_answer_could_show_is_shown_escaped(tmp_path: Path) -> None:
    """Older releases stored lone surrogates and values nested too deep: every question is
    answered, and nothing is lost."""
    journal = SqliteJournal(tmp_path, b"k" * 32)
    rows = (FOLDER / "journal-odd.jsonl").read_bytes().splitlines()
    as_stored = [json.loads(row) for row in rows]
    bodies = [KINDS[row["kind"]](**row["body"]) for row in as_stored]
    journal.append(
        [Fact(r["seq"], r["at"], r["actor"], "req", b) for r, b in zip(as_stored, bodies, strict=True)]
    )
    engine = Engine(journal, Policy(), RealClock())
    engine.recover()
    ids = [f"task-odd{i}" for i in range(4)]
    questions = [
        q.ListTasks(), q.ListWorkers(), q.GetTask("task-odd3"), q.WaitTasks(tuple(ids)),
        *map(q.GetTask, ids), *map(q.GetResult, ids[:2]), q.Metrics(),
    ]  # fmt: skip
    for question in questions:
        answer = engine.query(question, SYSTEM)
        assert not isinstance(answer, Rejected), (question, answer)
        orjson.dumps({"answer": [answer]})
    task = engine.state.tasks["task-odd0"]
    assert (task.spec["title"], task.spec["run"]["argv"][1]) == ("caf\\udce9", "caf\\udce9.txt")
    assert task.result["value"][1] == 2**53 + 1
    assert journal.verify() == len(rows)
    history = History(tmp_path / "h.duckdb")
    history.ingest(engine.facts(0, 1000).facts)
    found = history.result("task-odd0")
    assert found is not None
    assert found["result"] == task.result
    orjson.dumps([found, history.result("task-odd1")])
    history.close()
    journal.close()


def test_fields_are_only_added_at_the_end() -> None:
    """Rows name no fields: those that disks have stay where they are; whatever else changes gets a version.

    fields.json lists them. A field with a default is added at the end there as here.
    """
    kept: dict[str, list[str]] = orjson.loads((FOLDER / "fields.json").read_bytes())
    for name, fields in kept.items():
        kind, _, version = name.partition(" ")
        known = FIELDS[kind] if int(version) == VERSIONS.get(kind, 1) else FORMER_FIELDS[kind, int(version)]
        assert list(known) == fields, name
    assert {f"{kind} {VERSIONS.get(kind, 1)}" for kind in KINDS} <= kept.keys()


# --------------------------------------------------------------------------------------- as the disk has them


@pytest.fixture(params=["format1", "format2"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a data directory of every format there was."""
    return Path(shutil.copytree(FOLDER / request.param, tmp_path / request.param))


def without_origin(facts: list[Fact]) -> list[Fact]:
    return [replace(fact, origin=NOWHERE) for fact in facts]


def test_a_data_directory_of_every_format_opens(disk: Path) -> None:
    """Its facts are those of journal-1, verified; where some were erased, it says which."""
    journal = SqliteJournal(disk, make.DISK_KEY)
    facts, expected = without_origin(journal.read_after(0, 1 << 30)), make.read("journal-1")
    assert journal.verify() == len(facts)
    for seq in (1, 20, len(facts)):
        proof = journal.inclusion_proof(seq)
        assert verify_inclusion(journal.leaf(seq), seq, len(facts), proof, journal.root())
    kept = journal.load_snapshot()
    assert kept is not None
    assert kept.seq == len(expected)
    journal.close()
    if disk.name == "format1":
        assert facts == expected
        return
    erasure = facts.pop()
    assert isinstance(erasure.event, FactsErased)
    for fact, was in zip(facts, expected, strict=True):
        if fact.seq in erasure.event.seqs:
            assert fact.event == Erased(make.RETIRED, type(was.event).__name__)
        else:
            assert fact == was


def test_a_journal_with_erased_facts_folds_from_its_beginning(tmp_path: Path) -> None:
    """Without a snapshot too: the state is that of journal-1, but for the count of tasks that left it."""
    folder = shutil.copytree(FOLDER / "format2", tmp_path / "data")
    journal = SqliteJournal(folder, make.DISK_KEY)
    state = State()
    for fact in journal.read_after(0, 1 << 30):
        evolve(state, fact)
    journal.close()
    assert check(state) == []
    plain = make.folded("journal-1")
    for session in plain.sessions.values():
        # The facts on this disk have an origin in their headers, and those of journal-1 have none.
        session.address, session.user_agent = "192.0.2.7", "golden/1"
    assert [*state.sign_in_addresses] == ["192.0.2.7"]
    plain.sign_in_addresses = state.sign_in_addresses
    found, expected = snapshot.dump(state), snapshot.dump(plain)
    differing = {name for name in found if found[name] != expected[name]}
    assert differing <= {"seq", "at", "retired", "durations", "workers", "endings"}
    assert make.RETIRED not in state.tasks


def erased(fact: Fact) -> Fact:
    """Return a fact as it reads when it is erased."""
    return replace(fact, event=Erased(subject_of(fact.event), type(fact.event).__name__))


@pytest.mark.parametrize("name", JOURNALS)
def test_whatever_has_left_can_be_erased(name: str) -> None:
    """Folded from the beginning without the tasks, sessions, tokens, workers and users that are gone, each
    alone and all together, whole or in part (a kill came between two commits): everything else stands as it
    did, and no law is broken."""
    facts, expected = make.read(name), make.folded(name)
    gone = {
        subject_of(fact.event)
        for fact in facts
        if type(fact.event).__name__ in BEGINNINGS and not is_in_use(expected, fact)
    }
    choices = [[thing] for thing in sorted(gone)] + [sorted(gone)]
    for things in choices:
        theirs = [fact.seq for fact in facts if subject_of(fact.event) in things]
        for seqs in (frozenset(theirs), frozenset(theirs[: len(theirs) // 2 + 1])):
            state = State()
            for fact in facts:
                evolve(state, erased(fact) if fact.seq in seqs else fact)
            assert check(state) == [], (things, seqs)
            assert as_kept(state) == as_kept(expected), (things, seqs)


BEGINNINGS = {
    "TaskSubmitted", "WorkerRegistered", "UserCreated", "SessionOpened", "TokenCreated", "DeviceEnrolled",
}  # fmt: skip
# What is counted, and who may still be told why something of theirs ended.
COUNTED = ("retired", "durations", "endings", "ended", "rewritten")
TOTALS = ("completed", "failed", "turn")


def as_kept(state: State) -> dict[str, object]:
    """Return a state without what was only counted of things that are gone, and
    what names a worker that is."""
    dumped = snapshot.dump(state)
    for name in COUNTED:
        del dumped[name]
    names = snapshot.fields_of(Worker, snapshot.WORKER_INDEXES)
    dumped["workers"] = [
        [value for value, name in zip(row, names, strict=True) if name not in TOTALS]
        for row in dumped["workers"]
    ]
    return dumped


if __name__ == "__main__":
    print(hashlib.sha256(fold(sys.argv[1])).hexdigest())
