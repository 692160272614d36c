"""Journals of every released format fold into the state that they folded into then."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from helix_ray.core import snapshot
from helix_ray.core.codec import KINDS, from_body
from helix_ray.core.events import Fact
from helix_ray.core.evolve import evolve
from helix_ray.core.state import State
from helix_ray.journal.sqlite import SqliteJournal

FOLDER = Path(__file__).parent
JOURNALS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def read(name: str) -> list[Fact]:
    rows: list[dict[str, Any]] = [
        orjson.loads(line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()
    ]
    return [
        Fact(r["seq"], r["at"], r["actor"], r["request_id"], from_body(r["kind"], r["version"], r["body"]))
        for r in rows
    ]


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


if __name__ == "__main__":
    print(hashlib.sha256(fold(sys.argv[1])).hexdigest())
