"""Journals of every released format fold into the state that they folded into then."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.codec import KINDS
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Fact
from helix_ray.core.evolve import evolve
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from helix_ray.engine import Engine
from helix_ray.journal.chain import to_fact
from helix_ray.journal.encoding import to_json
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.testing import RealClock
from helix_ray.views.history import History

FOLDER = Path(__file__).parent
JOURNALS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def read(name: str) -> list[Fact]:
    return [fact_of(line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]


def fact_of(line: bytes) -> Fact:
    """Return the fact of a line, as the journal reads it."""
    row = json.loads(line)
    body = to_json(row["body"])
    return to_fact(row["seq"], row["at"], row["actor"], row["request_id"], row["kind"], row["version"], body)


def fold(name: str) -> bytes:
    """Return the dumped state that a journal folds into."""
    state = State()
    for fact in read(name):
        evolve(state, fact)
    return orjson.dumps(snapshot.dump(state))


@pytest.mark.parametrize("name", JOURNALS)
def test_it_folds_into_what_it_did_then(name: str) -> None:
    """The state is the one that was committed beside the journal."""
    assert orjson.loads(fold(name)) == orjson.loads((FOLDER / f"{name}.state.json").read_bytes())


def test_every_kind_of_fact_occurs() -> None:
    """A kind that is added to the core needs a golden journal that has it."""
    found = {type(fact.event).__name__ for name in JOURNALS for fact in read(name)}
    assert found == set(KINDS)


@pytest.mark.parametrize("name", JOURNALS)
def test_the_order_of_hashing_does_not_matter(name: str) -> None:
    """Two processes with other string hashes fold to the same bytes."""
    command = [sys.executable, str(Path(__file__)), name]
    digests = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {hashlib.sha256(fold(name)).hexdigest().encode() + b"\n"}


@pytest.mark.parametrize("name", JOURNALS)
def test_the_journal_on_disk_keeps_it_whole(name: str, tmp_path: Path) -> None:
    """Written to SQLite and read back, every fact is equal."""
    facts = read(name)
    journal = SqliteJournal(tmp_path, b"k" * 32)
    journal.append(facts)
    assert journal.read_after(0, len(facts)) == facts
    assert journal.verify() == len(facts)
    journal.close()


def test_what_no_answer_could_show_is_shown_escaped(tmp_path: Path) -> None:
    """Older releases stored lone surrogates and values nested too deep: every question is answered, and nothing is lost."""
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
    history.ingest(engine.events(0, 1000).facts)
    found = history.result("task-odd0")
    assert found is not None
    assert found["result"] == task.result
    orjson.dumps([found, history.result("task-odd1")])
    history.close()
    journal.close()


if __name__ == "__main__":
    print(hashlib.sha256(fold(sys.argv[1])).hexdigest())
