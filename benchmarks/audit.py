"""The audit at scale: searches over HTTP in a long history, the check of all of it from an export, and its
comparison with the journal."""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import orjson

from benchmarks import audited
from benchmarks.audited import DAY_S, DAYS
from benchmarks.load import one_by_one
from benchmarks.processes import Helix, cpu_s, helix, scratch
from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale
from helix_ray.core.audit.kinds import ACTS
from helix_ray.wire.times import iso

NAME = "audit"
SEARCH_MS_MAX, TEXT_MS_MAX, VERIFY_S_MAX = 25.0, 500.0, 60.0
SEARCHES, TEXT_SEARCHES = 200, 20
TYPES = sorted({act.type for act in ACTS.values()})
# Of one person, of a project, of an address, of most records, and of none.
TEXTS = ("person77", "project-12", "10.5.3", "curl/8", "nothing-at-all")
MIB = float(2**20)
Filters = dict[str, str]


def run(scale: Scale) -> Report:
    """Write the history, search it, export it, verify the export, and compare the history."""
    count = scale.audit_records
    with _folder(scale) as folder:
        home = folder / "data"
        if not home.exists():
            audited.write(folder / "unfinished", count)
            (folder / "unfinished").rename(home)
        lines = _searches(home, scale)
        lines += _verified(home, folder / "facts.jsonl")
    notes = (
        "a search over one connection after the other, each with its own record, which is durable before the "
        "answer and which the next search waits to have in the history; after the check of the start",
        "CPU is that of the history's process for a search, with the intake of the record before it",
    )
    return Report(NAME, f"{count:,} records of the audit over {DAYS} days", tuple(lines), notes)


@contextmanager
def _folder(scale: Scale) -> Iterator[Path]:
    """Give the folder that keeps the records for further runs, or one that is gone afterwards."""
    if scale.audit_folder is None:
        with scratch() as made:
            yield made
        return
    folder = scale.audit_folder / f"{scale.audit_records}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield folder


def _searches(home: Path, scale: Scale) -> list[Line]:
    chance = random.Random(1)
    asks: dict[str, tuple[Callable[[], Filters], int, float]] = {
        "newest 100": (dict, SEARCHES, SEARCH_MS_MAX),
        "newest 100 of a type": (lambda: {"event_type": chance.choice(TYPES)}, SEARCHES, SEARCH_MS_MAX),
        "one user in 24 h": (lambda: _of_a_user(chance), SEARCHES, SEARCH_MS_MAX),
        "a window of an hour, a day or a week": (lambda: _window(chance), SEARCHES, SEARCH_MS_MAX),
        "a text": (lambda: {"q": chance.choice(TEXTS)}, TEXT_SEARCHES, TEXT_MS_MAX),
    }
    lines: list[Line] = []
    began = iso(time.time())
    with helix(home) as server:
        historian = server.actor("Historian")
        _wait_for_check(server, began)
        _times_ms(server, [{}] * 10)
        for what, (filters, count, most) in asks.items():
            used = cpu_s(historian)
            rounds = [_times_ms(server, [filters() for _ in range(count)]) for _ in range(scale.rounds)]
            cpu_ms = (cpu_s(historian) - used) / (count * scale.rounds) * 1e3
            p99 = Series("", "ms", tuple(times[count * 99 // 100] for times in rounds))
            lines += [
                Line(f"{what}: p99", p99, goal=at_most(most, "ms", p99)),
                Line(f"{what}: p50", Series("", "ms", tuple(map(statistics.median, rounds)))),
                Line(f"{what}: CPU", Series("", "ms", (cpu_ms,))),
            ]
        rss = Series("", "MiB", (historian.memory_info().rss / MIB,))
    return [*lines, Line("RSS of the history's process then", rss)]


def _wait_for_check(server: Helix, began: str) -> None:
    """Wait for the check of all facts and records by the start that `began` then: it takes part of a core."""
    asked = server.request("GET", "/aurora/metrics/security")
    while (orjson.loads(one_by_one(server.port, [asked])[0].body)["last_comparison"] or "") < began:
        time.sleep(1.0)


def _of_a_user(chance: random.Random) -> Filters:
    return {"user": audited.user_id(chance.randrange(audited.USERS)), **_span(chance, DAY_S)}


def _window(chance: random.Random) -> Filters:
    return _span(chance, chance.choice((DAY_S / 24, DAY_S, 7 * DAY_S)))


def _span(chance: random.Random, seconds: float) -> Filters:
    start = time.time() - chance.uniform(seconds, DAYS * DAY_S)
    return {"start_time": iso(start), "end_time": iso(start + seconds)}


def _times_ms(server: Helix, searches: list[Filters]) -> list[float]:
    """Return how long searches took over HTTP, the fastest first."""
    requests = [server.request("GET", f"/aurora/audit?{urlencode(each)}") for each in searches]
    return sorted(answer.seconds * 1e3 for answer in one_by_one(server.port, requests))


def _verified(home: Path, out: Path) -> list[Line]:
    """Export all facts, verify the file, and compare what is searched with the journal, by the commands of
    users."""
    audit = (sys.executable, "-m", "helix_ray.cli.main", "audit")
    out.unlink(missing_ok=True)
    exported = _ran((*audit, "export", "--data-dir", str(home), "--out", str(out)))
    verified = _ran((*audit, "verify", str(out)))
    compared = _ran((*audit, "compare", "--data-dir", str(home)))
    wall = Series("", "s", (verified[0],))
    return [
        Line("helix audit export", Series("", "s", (exported[0],))),
        Line("helix audit verify", wall, goal=at_most(VERIFY_S_MAX, "s", wall)),
        Line("helix audit verify: CPU", Series("", "s", (verified[1],))),
        Line("helix audit compare", Series("", "s", (compared[0],))),
        Line("helix audit compare: CPU", Series("", "s", (compared[1],))),
    ]


def _ran(command: tuple[str, ...]) -> tuple[float, float]:
    """Run a command; return its wall time and its CPU time, in seconds."""
    began = time.perf_counter()
    process = os.spawnv(os.P_NOWAIT, command[0], command)
    _, status, used = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime
