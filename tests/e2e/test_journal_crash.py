"""kill -9 at any moment loses no acknowledged write and doubles none; damage is never silent."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from helix_ray.core.decide.submit import task_ids
from helix_ray.core.events import (
    Fact,
    ReceiptKept,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskReleased,
    TaskSubmitted,
)
from helix_ray.journal import layout
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal

HARNESS = Path(__file__).with_name("journal_crash.py")
KEY = b"k" * 32
RUNS = int(os.environ.get("HELIX_CRASH_RUNS", "200"))
# Each life checks all of its journal, so one journal for all lives would take longer with their square.
RUNS_PER_JOURNAL = 50
WRITERS = 4
LINE_BYTES_MAX = 1 << 24
# A life lasts up to this long after it serves; one in five is ended before it does.
LIFE_S_MAX = 0.06
SPARE_TASKS = 20
# Damaged copies that are opened, per file; HELIX_SWEEP_ALL tries every byte of each.
SWEEP_OPENS = {"HEAD": 200, "journal.sqlite-wal": 1500, "journal.sqlite": 600}
SWEEP_ALL = "HELIX_SWEEP_ALL" in os.environ


@dataclass
class Ledger:
    """What was acknowledged, by all writers."""

    submitted: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    resent: int = 0
    replayed: int = 0

    async def reaches(self, tasks: int) -> None:
        """Return when so many tasks have been acknowledged."""
        async with self.grown:
            await self.grown.wait_for(lambda: len(self.submitted) >= tasks)


class Writer:
    """Sends one order after another, and the same one again until it is acknowledged."""

    def __init__(self, name: str, ledger: Ledger, chance: random.Random) -> None:
        self._name = name
        self._ledger = ledger
        self._chance = chance
        self._count = 0
        self._open: list[str] = []
        self._order = self._next()

    def _next(self) -> dict[str, Any]:
        self._count += 1
        order: dict[str, Any] = {"seed": f"{self._name}-{self._count}", "by": self._name, "verb": "submit"}
        order["key"] = f"{self._name}:{self._count}"
        verb = self._chance.choice(["submit", "submit", "cancel", "start", "complete"])
        if verb == "submit" or not self._open:
            return order | {"count": self._chance.choice([1, 1, 3])}
        if verb == "complete":
            mine = [i for i in self._open if i in self._ledger.started]
            if not mine:
                return order | {"verb": "start", "id": self._open[0]}
            return order | {"verb": "complete", "id": self._chance.choice(mine)}
        waiting = [i for i in self._open if i not in self._ledger.started]
        if not waiting:
            return order | {"count": 1}
        return order | {"verb": verb, "id": self._chance.choice(waiting)}

    async def write(self, path: str) -> None:
        """Write until the connection breaks."""
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        try:
            while True:
                writer.write(orjson.dumps({"order": self._order}) + b"\n")
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    break
                self._acknowledged(orjson.loads(line))
                async with self._ledger.grown:
                    self._ledger.grown.notify_all()
                self._order = self._next()
        except ConnectionError:
            pass
        finally:
            self._ledger.resent += 1
            writer.close()

    def _acknowledged(self, reply: dict[str, Any]) -> None:
        assert "seq" in reply, reply
        ledger, order = self._ledger, self._order
        ledger.keys.append(order["key"])
        ledger.replayed += reply["replayed"]
        if order["verb"] == "submit":
            ids = task_ids(order["seed"], order["count"])
            ledger.submitted += ids
            ledger.fresh += ids
            self._open += ids
        elif order["verb"] == "start":
            ledger.started.add(order["id"])
        else:
            (ledger.cancelled if order["verb"] == "cancel" else ledger.completed).add(order["id"])
            self._open.remove(order["id"])


class Nest:
    """The process that engines are forked from."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._lives = 0

    @classmethod
    async def build(cls, folder: Path) -> Nest:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HARNESS), "nest", stdin=pipe, stdout=pipe
        )
        return cls(process, folder)

    async def start(self) -> tuple[int, str]:
        """Fork an engine; return its process id and its socket."""
        self._lives += 1
        path = str(self._folder / f"s{self._lives}")
        assert self._process.stdin is not None
        self._process.stdin.write(f"start {self._folder / 'data'} {path}\n".encode())
        return int(await self._said("started")), path

    async def kill(self, pid: int) -> None:
        """Kill an engine; it must have lived until then."""
        os.kill(pid, signal.SIGKILL)
        assert int(await self._said("ended")) == -signal.SIGKILL

    async def ready(self) -> None:
        """Return when the engine listens; fail if it ends before."""
        await self._said("ready")

    async def _said(self, word: str) -> str:
        assert self._process.stdout is not None
        while True:
            said, _, rest = (await self._process.stdout.readline()).decode().strip().partition(" ")
            if said == word:
                return rest
            assert (word, said) == ("ended", "ready"), f"waited for {word}, heard {said}"

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def ask_missing(path: str, ids: list[str]) -> list[str]:
    """Return which of these tasks the engine does not have."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
    writer.write(orjson.dumps({"missing": ids}) + b"\n")
    reply = orjson.loads(await reader.readline())
    writer.close()
    missing: list[str] = reply["missing"]
    return missing


async def crash_often(folder: Path, runs: int, chance: random.Random) -> Ledger:
    """Start, write, kill, `runs` times; then one life in peace that acknowledges what is open."""
    ledger = Ledger()
    writers = [Writer(f"user-{i}", ledger, chance) for i in range(WRITERS)]
    nest = await Nest.build(folder)
    for number in range(runs):
        pid, path = await nest.start()
        if chance.random() < 0.2:
            await asyncio.sleep(chance.uniform(0, 0.02))
            await nest.kill(pid)
            continue
        await nest.ready()
        assert await ask_missing(path, ledger.fresh) == []
        ledger.fresh.clear()
        lives = asyncio.gather(*(writer.write(path) for writer in writers))
        await asyncio.sleep(chance.uniform(0, LIFE_S_MAX))
        # A busy machine acknowledges hardly anything in that time, and a task for each life has to be.
        enough = asyncio.create_task(ledger.reaches(min(runs, number + SPARE_TASKS) + 1))
        await asyncio.wait((enough, lives), return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        await nest.kill(pid)
        await lives
    pid, path = await nest.start()
    await nest.ready()
    assert await ask_missing(path, ledger.submitted) == []
    await nest.kill(pid)
    await nest.close()
    return ledger


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="hx"))
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("first", range(0, RUNS, RUNS_PER_JOURNAL))
def test_kill_at_any_moment_loses_nothing_and_doubles_nothing(folder: Path, first: int) -> None:
    """Every acknowledged order has its facts exactly once, over RUNS kills in all; the tree and
    the fold hold each time."""
    runs = min(RUNS_PER_JOURNAL, RUNS - first)
    seed = random.randrange(1 << 30)
    print("chance", seed)
    ledger = asyncio.run(crash_often(folder, runs, random.Random(seed)))
    journal = SqliteJournal(folder / "data", KEY, lock_wait_s=10.0)
    facts = journal.read_after(0, 1 << 40)
    assert journal.verify() == len(facts)
    assert journal.epoch > runs / 2
    journal.close()

    def times(kind: type[Any]) -> Counter[str]:
        return Counter(fact.event.id for fact in facts if isinstance(fact.event, kind))

    for kind, acknowledged in (
        (TaskSubmitted, set(ledger.submitted)),
        (TaskCancelled, ledger.cancelled),
        (TaskAssigned, ledger.started),
        (TaskCompleted, ledger.completed),
        (ReceiptKept, set(ledger.keys)),
    ):
        found = times(kind)
        assert acknowledged <= found.keys(), kind
        assert set(found.values()) <= {1}, kind
    assert len(ledger.submitted) == len(set(ledger.submitted)) > runs
    print(
        f"{len(facts)} facts, {len(ledger.keys)} acknowledged, {ledger.replayed} of the resent ones were "
        "there already"
    )


# ----------------------------------------------------------------------------------------- damage, everywhere


def some_facts(first: int, count: int) -> list[Fact]:
    return [Fact(i, 5.0, "user-1", "req-1", TaskReleased(f"task-{i}")) for i in range(first, first + count)]


@pytest.fixture
def crashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Fact]]:
    """What a kill leaves behind: some facts in the file, more in its write-ahead log; small
    pages, to sweep them all."""
    monkeypatch.setattr(layout, "PAGE_BYTES", 512)
    live = folder / "live"
    journal = SqliteJournal(live, KEY)
    journal.append(some_facts(1, 6))
    journal.close()
    journal = SqliteJournal(live, KEY)
    for first in range(7, 19, 3):
        journal.append(some_facts(first, 3))
    shutil.copytree(live, folder / "left", ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    journal.close()
    return folder / "left", some_facts(1, 18)


def damaged_copies(content: bytes, opens: int, chance: random.Random) -> Iterator[bytes]:
    """Yield the content with one byte flipped, and cut short, at as many places as may be opened."""
    # The padding of HEAD's slots says nothing.
    places = [i for i, byte in enumerate(content) if byte] if content[:1] == b"{" else range(len(content))
    chosen = list(places) if len(places) * 2 <= opens else chance.sample(places, opens // 2)
    for place in chosen:
        flipped = bytearray(content)
        flipped[place] ^= chance.randrange(1, 256)
        yield bytes(flipped)
        yield content[:place]


@pytest.mark.parametrize("name", SWEEP_OPENS)
def test_no_damage_is_silent(crashed: tuple[Path, list[Fact]], folder: Path, name: str) -> None:
    """One byte flipped, or the rest cut off: either every acknowledged fact is there, or the
    start says what is wrong."""
    left, acknowledged = crashed
    content = (left / name).read_bytes()
    files = {path.name: path.read_bytes() for path in left.iterdir()}
    opens = 2 * len(content) if SWEEP_ALL else SWEEP_OPENS[name]
    refused = intact = 0
    for number, damaged in enumerate(damaged_copies(content, opens, random.Random(7))):
        copy = folder / f"copy{number}"
        copy.mkdir()
        for other, data in files.items():
            (copy / other).write_bytes(damaged if other == name else data)
        try:
            journal = SqliteJournal(copy, KEY)
        except (JournalDamaged, sqlite3.Error):
            refused += 1
        else:
            assert journal.read_after(0, 100) == acknowledged
            assert journal.verify() == len(acknowledged)
            journal.close()
            intact += 1
        shutil.rmtree(copy)
    assert refused
    print(f"{name}: {len(content)} bytes, {refused} refused, {intact} intact")
