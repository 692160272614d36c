"""What durability costs: `python -m benchmarks.journal [FACTS]` prints one JSON object a line.

append    microseconds per fact at several batch sizes, with JSON, hash, tree, insert and fsync
          (goals: 6 at 500, and 20,000 facts/s); `to_plain` is the CPU time as a multiple of what
          inserting the same facts as JSON into a plain table of SQLite takes, in turns with it
tree      microseconds of CPU per fact of a commit of 500, each part in a loop of its own: its rows, their
          leaves (two hashes), the nodes over a tile (one); `empty_hash` is the least that one hash takes
pages     pages that a commit of 500 writes to the write-ahead log of a journal of FACTS, on average: with the
          tree's nodes in the order of their completion, by level and place, and without a tree (ADR 108)
read      facts read back per second; verify: facts verified against the tree per second;
          size: bytes per task (goal: 440)
proof     milliseconds of CPU of an inclusion and a consistency proof of the whole journal (goal: 2)
history   facts ingested a second into DuckDB (goal: 60,000), and milliseconds of a lookup and a listing
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import orjson

from benchmarks.treeless.journal import Treeless
from helix_ray.core.events import Event, Fact, TaskAssigned, TaskCompleted, TaskSubmitted
from helix_ray.core.questions import ListTasks
from helix_ray.core.specs import TaskSpec
from helix_ray.core.visibility import TaskScope
from helix_ray.journal.erasing import cut_log
from helix_ray.journal.hashing import HASH_BYTES
from helix_ray.journal.interned import Interned
from helix_ray.journal.layout import PAGE_BYTES, configure
from helix_ray.journal.leaves import leaves_of
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.rows import TILE_FACTS, TILE_LEVEL, Salts, encode
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.views.history import History
from helix_ray.wire.ids import new_seed

SPEC: TaskSpec = {
    "title": "no-op",
    "type": "testing",
    "run": {"kind": "function", "function": "helix_ray.samples:noop", "args": [], "kwargs": {}},
}
USER, WORKER = f"user-{new_seed()}", f"worker-{new_seed()}"
APPEND_BATCHES = (1, 16, 128, 500, 2000)
SUBMIT_TASKS = 100
INGEST_FACTS = 20_000
LOOKUPS = 50
PROOFS = 500
FACTS_PER_TASK = 3
COMMIT_FACTS = 500
PAGES_COMMITS = 64
TURNS = 300
# Of a write-ahead log, and of each page in it.
LOG_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
# The tree, which is empty, as format 2 had it.
_BY_LEVEL = """
DROP TABLE tree;
CREATE TABLE tree (last, level, hash, PRIMARY KEY (level, last)) WITHOUT ROWID;
"""


def facts() -> Iterator[Fact]:
    """Yield facts of no-op tasks: submitted, assigned and completed, a hundred tasks at a time."""
    seq = 0
    while True:
        ids = [f"task-{new_seed()}-{i}" for i in range(SUBMIT_TASKS)]
        events: list[Event] = [TaskSubmitted(i, USER, SPEC) for i in ids]
        events += [TaskAssigned(i, 1, WORKER) for i in ids]
        events += [TaskCompleted(i, 1, {"success": True, "value": None}, 0.0001) for i in ids]
        now, request_id = time.time(), f"req-{new_seed()}"
        for event in events:
            seq += 1
            yield Fact(seq, now, USER, request_id, event)


def report(name: str, **values: object) -> None:
    """Print a measurement."""
    print(orjson.dumps({"bench": name, **values}).decode(), flush=True)


def timed(work: Callable[[], object]) -> float:
    """Return how long one call took, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class PlainTable:
    """The anchor of appends: the same values as JSON in one table of SQLite, with as safe commits, and
    without a tree, salts or HEAD."""

    def __init__(self, path: Path) -> None:
        self._con = sqlite3.connect(path, isolation_level=None)
        self._con.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        self._con.execute("PRAGMA journal_mode = WAL")
        self._con.execute("PRAGMA synchronous = FULL")
        self._con.execute("CREATE TABLE facts (seq INTEGER PRIMARY KEY, at, actor, request, kind, body)")

    def append(self, facts: Sequence[Fact]) -> None:
        """Insert facts in one commit."""
        self._con.execute("BEGIN IMMEDIATE")
        self._con.executemany(
            "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?)",
            [
                (f.seq, f.at, f.actor, f.request_id, type(f.event).__name__, orjson.dumps(f.event))
                for f in facts
            ],
        )
        self._con.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._con.close()


def cpu_of(work: Callable[[], object]) -> float:
    """Return how much CPU time one call took, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def bench_tree() -> None:
    """Say what each part of the tree costs where nothing else is in the processor's caches."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as con:
        configure(con)
        some, words, salts = list(islice(facts(), COMMIT_FACTS)), Interned(con), Salts()
        encoded = encode(some, 0, 1, words, salts)
        tile = leaves_of(encoded)[: TILE_FACTS * HASH_BYTES]
        parts: dict[str, tuple[Callable[[], object], int]] = {
            "rows": (lambda: encode(some, 0, 1, words, salts), COMMIT_FACTS),
            "leaves": (lambda: leaves_of(encoded), COMMIT_FACTS),
            "nodes": (lambda: Frontier().extended(tile, TILE_LEVEL), TILE_FACTS),
            "empty_hash": (lambda: [sha256(b"").digest() for _ in some], COMMIT_FACTS),
        }
        least = dict.fromkeys(parts, float("inf"))
        for _ in range(TURNS):
            for name, (work, count) in parts.items():
                least[name] = min(least[name], cpu_of(work) / count)
    report("tree", **{f"{name}_us": round(seconds * 1e6, 2) for name, seconds in least.items()})


def bench_pages(folder: Path, count: int) -> None:
    """Count the pages of commits at the end of a journal."""
    ways = {
        "by_completion": (SqliteJournal, ""),
        "by_level": (SqliteJournal, _BY_LEVEL),
        "without_tree": (Treeless, ""),
    }
    pages = {name: _pages_per_commit(folder / f"pages-{name}", count, *way) for name, way in ways.items()}
    report("pages", batch=COMMIT_FACTS, facts=count, **pages)


def _pages_per_commit(
    folder: Path, count: int, kind: Callable[[Path, bytes], SqliteJournal], layout: str
) -> float:
    kind(folder, b"k" * 32).close()
    path = folder / FILE_NAME
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.executescript(layout)
    source, written = facts(), 0
    with contextlib.closing(kind(folder, b"k" * 32)) as journal:
        for _ in range(count // COMMIT_FACTS):
            journal.append(list(islice(source, COMMIT_FACTS)))
        for _ in range(PAGES_COMMITS):
            if not cut_log(path):
                raise RuntimeError("somebody reads the journal")
            journal.append(list(islice(source, COMMIT_FACTS)))
            written += path.with_name(f"{FILE_NAME}-wal").stat().st_size - LOG_HEADER_BYTES
    return round(written / PAGES_COMMITS / (FRAME_HEADER_BYTES + PAGE_BYTES), 1)


def bench_append(folder: Path, count: int) -> None:
    """Append at every batch size, then read all back, check it, and prove some."""
    for size in APPEND_BATCHES:
        journal = SqliteJournal(folder / f"journal-{size}", b"k" * 32)
        source = facts()
        batches = max(50, min(count, 400 * size) // size)
        taken = [list(islice(source, size)) for _ in range(batches)]
        plain = PlainTable(folder / f"plain-{size}.sqlite")
        spent, cpu, plain_cpu = list[float](), 0.0, 0.0
        for batch in taken:
            began = time.process_time()
            spent.append(timed(partial(journal.append, batch)))
            cpu += time.process_time() - began
            plain_cpu += cpu_of(partial(plain.append, batch))
        plain.close()
        report(
            "append",
            batch=size,
            facts_per_s=round(batches * size / sum(spent)),
            us_per_fact=round(sum(spent) / (batches * size) * 1e6, 2),
            cpu_us_per_fact=round(cpu / (batches * size) * 1e6, 2),
            to_plain=round(cpu / plain_cpu, 2),
            commit_p50_ms=round(statistics.median(spent) * 1e3, 3),
            commit_max_ms=round(max(spent) * 1e3, 1),
        )
        if size == APPEND_BATCHES[-1]:
            report("read", facts_per_s=round(journal.head() / timed(partial(journal.read_after, 0, 1 << 60))))
            report("verify", facts_per_s=round(journal.head() / timed(journal.verify)))
            bench_proofs(journal)
        head = journal.head()
        journal.close()
        if size == APPEND_BATCHES[-1]:
            stored = sum(path.stat().st_size for path in (folder / f"journal-{size}").glob("journal.sqlite*"))
            report("size", bytes_per_task=round(stored / (head / FACTS_PER_TASK), 1))


def bench_proofs(journal: SqliteJournal) -> None:
    """Prove facts and beginnings at random."""
    chosen = [1 + secrets.randbelow(journal.head()) for _ in range(PROOFS)]
    asks = {"inclusion": journal.inclusion_proof, "consistency": journal.consistency_proof}
    for name, ask in asks.items():
        cpu = sorted(cpu_of(partial(ask, seq)) for seq in chosen)
        p99_ms = round(cpu[len(cpu) * 99 // 100] * 1e3, 2)
        report(name, cpu_p50_ms=round(statistics.median(cpu) * 1e3, 2), cpu_p99_ms=p99_ms)


def bench_history(folder: Path, count: int) -> None:
    """Ingest, then ask."""
    history = History(folder / "history.duckdb")
    source, spent, ids = facts(), 0.0, []
    while history.cursor < count:
        batch = list(islice(source, INGEST_FACTS))
        ids.append(batch[secrets.randbelow(SUBMIT_TASKS)].event.id)  # type: ignore[union-attr]
        spent += timed(partial(history.ingest, batch))
    report("ingest", facts=history.cursor, facts_per_s=round(history.cursor / spent))
    chosen = [secrets.choice(ids) for _ in range(LOOKUPS)]
    asks: dict[str, Callable[[str], object]] = {
        "get_task": history.get_task,
        "result": history.result,
        "list": lambda _: history.list(ListTasks(type="testing"), TaskScope(USER, None), 1 << 60, 50),
    }
    for name, ask in asks.items():
        times = [timed(partial(ask, task_id)) for task_id in chosen]
        report(name, p50_ms=round(statistics.median(times) * 1e3, 2), max_ms=round(max(times) * 1e3, 2))
    report("history_close", seconds=round(timed(history.close), 3))
    report("history_open", seconds=round(timed(lambda: History(folder / "history.duckdb").close()), 3))


def main() -> None:
    """Measure in a temporary folder on the disk that holds it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        bench_tree()
        bench_append(Path(folder), count)
        bench_pages(Path(folder), count)
        bench_history(Path(folder), 3 * count)


if __name__ == "__main__":
    main()
