"""Write a golden journal: `python -m tests.golden.make NAME` makes NAME.jsonl and
NAME.state.json beside this file.

`python -m tests.golden.make --disk FOLDER` writes journal-1 as a data directory in the present format of the
disk, with a snapshot and with the facts of a task that left the state erased. format1/ was written by the
last release of format 1.

A golden journal is replayed for ever, so one that exists is not written again: a later format or fold gets a
journal of its own under another name. Times and ids are fixed; every kind of fact occurs in one of them.

What a state's dump looks like is no format: when it gains fields, `python -m tests.golden.make --fold NAME`
writes NAME.state.json anew, and the difference is to be read before it is committed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson

from helix_ray.core import snapshot
from helix_ray.core.codec import from_body, kind_of
from helix_ray.core.events import Erased, Event, Fact, FactsErased, subject_of
from helix_ray.core.evolve import evolve
from helix_ray.core.origin import Origin
from helix_ray.core.state import State
from helix_ray.journal.encoding import to_json
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.plain import stored
from helix_ray.ports import Snapshot
from tests.golden.stories import ADMIN, STORIES, Story

FOLDER = Path(__file__).parent
# What the golden data directories are signed with, and the task of journal-1 that leaves the state.
DISK_KEY = b"k" * 32
RETIRED = "task-0000000018-0"


def as_lines(facts: list[Fact]) -> bytes:
    """Return facts as the journal keeps them, one JSON object a line."""
    lines = []
    for fact in facts:
        kind, version = kind_of(fact.event)
        row = {"seq": fact.seq, "at": fact.at, "actor": fact.actor, "request_id": fact.request_id}
        lines.append(to_json({**row, "kind": kind, "version": version, "body": named(fact.event)}))
    return b"\n".join(lines) + b"\n"


def named(event: Event | Erased) -> dict[str, Any]:
    """Return an event as JSON values by name."""
    return {field.name: getattr(event, field.name) for field in fields(event)}


def read(name: str) -> list[Fact]:
    """Return the facts of a golden journal."""
    return [fact_of(line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]


def fact_of(line: bytes) -> Fact:
    """Return the fact of a line, as the journal reads it."""
    row = json.loads(line)
    event = from_body(row["kind"], row["version"], stored(to_json(row["body"])))
    return Fact(row["seq"], row["at"], row["actor"], row["request_id"], event)


def folded(name: str) -> State:
    """Return the state that a golden journal folds into."""
    state = State()
    for fact in read(name):
        evolve(state, fact)
    return state


def write_disk(folder: Path) -> None:
    """Write journal-1 as the disk has it, then a snapshot, then the erasure of the task that was retired."""
    facts = [replace(fact, origin=Origin("192.0.2.7", "sess-2", "golden/1")) for fact in read("journal-1")]
    gone = [fact.seq for fact in facts if subject_of(fact.event) == RETIRED]
    journal = SqliteJournal(folder, DISK_KEY)
    journal.append(facts)
    journal.save_snapshot(Snapshot(len(facts), snapshot.FOLD_VERSION, snapshot.dump(folded("journal-1"))))
    erasure = FactsErased(gone, "its author asked for it")
    journal.erase(Fact(len(facts) + 1, facts[-1].at + 1, ADMIN.id, "req-erase", erasure))
    journal.close()
    (folder / "journal.lock").unlink()


def main(name: str) -> None:
    """Write the journal and the state that it folds into."""
    story = Story()
    for chapter in STORIES[name]:
        chapter(story)
    with (FOLDER / f"{name}.jsonl").open("xb") as file:
        file.write(as_lines(story.journal.read_after(0, 1 << 60)))
    fold(name)


def fold(name: str) -> None:
    """Write the state that a journal folds into."""
    dumped = orjson.dumps(snapshot.dump(folded(name)), option=orjson.OPT_INDENT_2)
    (FOLDER / f"{name}.state.json").write_bytes(dumped + b"\n")


if __name__ == "__main__":
    if sys.argv[1] == "--fold":
        fold(sys.argv[2])
    elif sys.argv[1] == "--disk":
        write_disk(FOLDER / sys.argv[2])
    else:
        main(sys.argv[1])
