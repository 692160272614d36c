"""Submits beside readers of the event stream that all see all of it, and the same submits without them.

`python -m benchmarks.events PORT TOKEN READERS` is the readers, in a process of their own: it prints
`ready`, and after a line of input what came, as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

import orjson

from benchmarks.load import percentile, side_by_side
from benchmarks.processes import Helix, helix, tree_cpu_s
from benchmarks.report import Line, Report, Series, at_most, ratio_at_least
from benchmarks.scale import Scale

NAME = "events"
READERS = 500
CONNECTIONS = 16
PIECE_BYTES = 1 << 18
KEPT_SHARE_MIN = 0.8
P50_MS_MAX = 20.0
TITLE = "submits beside event streams, and from commit to arrival"
TASK = {"title": "Test Task", "type": "planning"}


@dataclass(slots=True)
class Found:
    """The rounds with one number of readers: submits a second, CPU microseconds of all processes of the
    server for a submit, CPU seconds of the readers, and the seconds of each event from commit to arrival."""

    per_s: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    readers_s: list[float] = field(default_factory=list)
    arrivals: list[list[float]] = field(default_factory=list)


class Seen(TypedDict):
    """What the process of the readers says: how many events the readers saw, and its CPU seconds."""

    fewest: int
    most: int
    cpu_s: float
    arrivals: list[float]


def run(scale: Scale) -> Report:
    """Submit without readers, beside one, and beside all of them, in turn."""
    found = {readers: Found() for readers in (0, 1, READERS)}
    with helix(streams_per_principal_max=str(2 * READERS)) as server:
        _tasks_per_s(server, scale.few_tasks)
        for _ in range(scale.rounds):
            for readers, measured in found.items():
                _round(server, scale.few_tasks, readers, measured)
    alone = Series("without readers", "tasks/s", tuple(found[0].per_s))
    beside = Series("", "tasks/s", tuple(found[READERS].per_s))
    lines = [
        Line(f"{READERS} readers", beside, alone, ratio_at_least(KEPT_SHARE_MIN, "without", beside, alone)),
        *_cpu_lines(found[0], found[READERS], scale.few_tasks),
    ]
    for readers in (1, READERS):
        rounds = found[readers].arrivals
        p50, p99 = (
            Series("", "ms", tuple(percentile(each, share) * 1e3 for each in rounds)) for share in (0.5, 0.99)
        )
        goal = at_most(P50_MS_MAX, "ms", p50) if readers == 1 else None
        lines += [Line(f"{readers} readers: arrival p50", p50, None, goal), Line("p99", p99)]
    notes = (
        f"POST /tasks on {CONNECTIONS} connections; every reader gets each event; the readers have a "
        "process of their own on the same machine, whose CPU time is not the server's",
        "CPU time of the server: of all its processes, until the last reader has the last event",
    )
    return Report(NAME, TITLE, tuple(lines), notes)


def _round(server: Helix, count: int, readers: int, found: Found) -> None:
    if not readers:
        used = tree_cpu_s(server.pid)
        found.per_s.append(_tasks_per_s(server, count))
        found.server_us.append((tree_cpu_s(server.pid) - used) / count * 1e6)
        return
    with _reading(server, readers) as process:
        used = tree_cpu_s(server.pid)
        found.per_s.append(_tasks_per_s(server, count))
        seen = _arrived(process, count)
        found.server_us.append((tree_cpu_s(server.pid) - used) / count * 1e6)
        found.readers_s.append(seen["cpu_s"])
        found.arrivals.append(seen["arrivals"])


def _cpu_lines(alone: Found, beside: Found, count: int) -> list[Line]:
    """Return what the server and the readers use, each by itself, for a submit and for an event."""
    more = [(b - a) / READERS for a, b in zip(alone.server_us, beside.server_us, strict=True)]
    theirs = [used / count / READERS * 1e6 for used in beside.readers_s]
    return [
        Line(
            "CPU of the server for a submit",
            Series("", "us", tuple(beside.server_us)),
            Series("without readers", "us", tuple(alone.server_us)),
        ),
        Line("CPU of the server for an event and reader", Series("", "us", tuple(more))),
        Line("CPU of a reader for an event", Series("", "us", tuple(theirs))),
    ]


def _tasks_per_s(server: Helix, count: int) -> float:
    requests = [server.request("POST", "/tasks", TASK)] * count
    started = time.perf_counter()
    side_by_side(server.port, requests, CONNECTIONS)
    return count / (time.perf_counter() - started)


@contextmanager
def _reading(server: Helix, readers: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.events", str(server.port), server.token, str(readers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the readers did not start")
            yield process
        finally:
            process.kill()


def _arrived(process: subprocess.Popen[str], count: int) -> Seen:
    """Return what the readers saw, once it is all; raise AssertionError where a reader has not seen all."""
    said, _ = process.communicate(f"{count}\n")
    seen: Seen = orjson.loads(said)
    if seen["fewest"] != count or seen["most"] != count:
        raise AssertionError(f"of {count} events readers saw {seen['fewest']} to {seen['most']}")
    return seen


async def _read_all(port: int, token: str, readers: int) -> None:
    """Be the readers: the first one takes the times."""
    counts = [0] * readers
    arrivals: list[float] = []
    request = (
        f"GET /api/v1/events?events=task.created HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    opened = asyncio.Semaphore(0)

    async def read(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.encode())
        await reader.readuntil(b"event: bookmark\n")
        opened.release()
        open_line = b""
        while piece := await reader.read(PIECE_BYTES):
            *lines, open_line = (open_line + piece).split(b"\n")
            events = [line for line in lines if line.startswith(b'data: {"seq":') and b'"event"' in line]
            counts[number] += len(events)
            if number == 0:
                now = time.time()
                arrivals.extend(now - _committed_at(line) for line in events)

    tasks = [asyncio.create_task(read(number)) for number in range(readers)]
    for _ in range(readers):
        await opened.acquire()
    used = time.process_time()
    print("ready", flush=True)
    count = int(await asyncio.to_thread(sys.stdin.readline))
    ends_at = time.monotonic() + 30
    while min(counts) < count and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    seen: Seen = {
        "fewest": min(counts),
        "most": max(counts),
        "cpu_s": time.process_time() - used,
        "arrivals": arrivals,
    }
    print(orjson.dumps(seen).decode(), flush=True)
    for task in tasks:
        task.cancel()


def _committed_at(line: bytes) -> float:
    timestamp: str = orjson.loads(line.removeprefix(b"data: "))["timestamp"]
    return datetime.fromisoformat(timestamp).timestamp()


if __name__ == "__main__":
    asyncio.run(_read_all(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
