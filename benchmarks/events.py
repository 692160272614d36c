"""Submits beside readers of the event stream that all see all of it, and the same submits without them.

`python -m benchmarks.events PORT TOKEN READERS` is the readers, in a process of their own: it prints
`ready`, and after a line of input what came, as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypedDict, cast

import orjson
import uvloop

from benchmarks import past_events
from benchmarks.load import one_by_one, percentile, side_by_side
from benchmarks.processes import ROOT, Helix, helix, scratch, tree_cpu_s
from benchmarks.report import Line, Report, Series, at_most, ratio_at_least, ratio_at_most
from benchmarks.scale import Scale

NAME = "events"
READERS = 500
CONNECTIONS = 16
PIECE_BYTES = 1 << 18
# What begins each frame that is counted, and the frame that a stream begins with.
CREATED = b"event: task.created"
BOOKMARK = b"event: bookmark"
KEPT_SHARE_MIN = 0.8
P50_MS_MAX = 20.0
GET_P99_RATIO_MAX = 1.2
DOWN_S_MAX = 3.0
# What a stream over the cap is answered, and how many of them each round opens.
REFUSED = range(503, 504)
OVER_THE_CAP = 20
TITLE = "submits beside event streams, and from commit to arrival"
TASK = {"title": "Test Task", "type": "planning"}


@dataclass(slots=True)
class Found:
    """The rounds with one number of readers: submits a second, CPU microseconds of all processes of the
    server for a submit, CPU seconds of the readers, and the seconds of each event from commit to arrival; and
    the 99th percentile of GETs beside streams for which nothing happens, in milliseconds."""

    per_s: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    readers_s: list[float] = field(default_factory=list)
    arrivals: list[list[float]] = field(default_factory=list)
    get_p99_ms: list[float] = field(default_factory=list)


class Seen(TypedDict):
    """What the process of the readers says: how many events the readers saw, and its CPU seconds."""

    fewest: int
    most: int
    cpu_s: float
    arrivals: list[float]


def run(scale: Scale) -> Report:
    """Submit without readers, beside one, and beside all that may be, in turn; then end the server."""
    found = {readers: Found() for readers in (0, 1, READERS)}
    caps = {"streams_max": str(READERS), "streams_per_principal_max": str(READERS)}
    with scratch() as folder, helix(folder, **caps) as server:
        _tasks_per_s(server, scale.few_tasks)
        for _ in range(scale.rounds):
            for readers, measured in found.items():
                _round(server, scale, readers, measured)
        with _reading(server, READERS):
            down = Series("", "s", (_down_s(folder),))
    with scratch() as folder, helix(folder):
        plain_down = Series("without streams", "s", (_down_s(folder),))
    alone = Series("without readers", "tasks/s", tuple(found[0].per_s))
    beside = Series("", "tasks/s", tuple(found[READERS].per_s))
    lines = [
        Line(f"{READERS} readers", beside, alone, ratio_at_least(KEPT_SHARE_MIN, "without", beside, alone)),
        *_cpu_lines(found[0], found[READERS], scale.few_tasks),
        _get_line(found[0], found[READERS]),
        Line(f"helix down with {READERS} streams", down, plain_down, at_most(DOWN_S_MAX, "s", down)),
    ]
    lines += past_events.lines(scale.noop_tasks, scale.rounds)
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


def _round(server: Helix, scale: Scale, readers: int, found: Found) -> None:
    count = scale.few_tasks
    if not readers:
        used = tree_cpu_s(server.pid)
        found.per_s.append(_tasks_per_s(server, count))
        found.server_us.append((tree_cpu_s(server.pid) - used) / count * 1e6)
        found.get_p99_ms.append(_get_p99_ms(server, scale.single_requests))
        return
    with _reading(server, readers) as process:
        if readers == READERS:
            one_by_one(server.port, [server.request("GET", "/events")] * OVER_THE_CAP, REFUSED)
            found.get_p99_ms.append(_get_p99_ms(server, scale.single_requests))
        used = tree_cpu_s(server.pid)
        found.per_s.append(_tasks_per_s(server, count))
        seen = _arrived(process, count)
        found.server_us.append((tree_cpu_s(server.pid) - used) / count * 1e6)
        found.readers_s.append(seen["cpu_s"])
        found.arrivals.append(seen["arrivals"])


def _get_p99_ms(server: Helix, count: int) -> float:
    answers = one_by_one(server.port, [server.request("GET", "/workers")] * count)
    return percentile([answer.seconds for answer in answers], 0.99) * 1e3


def _down_s(data_dir: Path) -> float:
    """Run `helix down`; return how long it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "launcher.up", "--down", "--data-dir", str(data_dir)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def _get_line(alone: Found, at_cap: Found) -> Line:
    ours = Series("", "ms", tuple(at_cap.get_p99_ms))
    anchor = Series("without streams", "ms", tuple(alone.get_p99_ms))
    goal = ratio_at_most(GET_P99_RATIO_MAX, "without streams", ours, anchor)
    return Line(f"GET p99 with {READERS} of {READERS} streams open", ours, anchor, goal)


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


class Reader(asyncio.BufferedProtocol):
    """One stream: counts its events in the buffer that all readers share, which costs little beside the
    kernel's copy; keeps nothing but the last bytes, in which an event's line may have begun."""

    shared = bytearray(len(CREATED) + PIECE_BYTES)

    def __init__(self, request: bytes, on_open: Callable[[], None], arrivals: list[float] | None) -> None:
        self.seen = 0
        self._request = request
        self._on_open = on_open
        self._arrivals = arrivals
        self._is_open = False
        self._kept = b""
        self._line = b""

    def itself(self) -> Reader:
        """Return the protocol, which is made before its connection."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        cast(asyncio.Transport, transport).write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the room behind what is kept."""
        return memoryview(self.shared)[len(CREATED) :]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came; the first bookmark opens the stream."""
        start, end = len(CREATED) - len(self._kept), len(CREATED) + nbytes
        self.shared[start : len(CREATED)] = self._kept
        if not self._is_open and BOOKMARK in self.shared[start:end]:
            self._is_open = True
            self._on_open()
        self.seen += self.shared.count(CREATED, start, end)
        if self._arrivals is not None:
            self._take_times(bytes(self.shared[len(CREATED) : end]))
        self._kept = bytes(self.shared[max(start, end - len(CREATED) + 1) : end])

    def _take_times(self, piece: bytes) -> None:
        assert self._arrivals is not None
        *lines, self._line = (self._line + piece).split(b"\n")
        now = time.time()
        self._arrivals += [
            now - _committed_at(line)
            for line in lines
            if line.startswith(b'data: {"seq":') and b'"event"' in line
        ]


async def _read_all(port: int, token: str, readers: int) -> None:
    """Be the readers: the first one takes the times."""
    request = (
        f"GET /api/v1/events?events=task.created HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    opened = asyncio.Semaphore(0)
    arrivals: list[float] = []
    loop = asyncio.get_running_loop()
    protocols = [Reader(request, opened.release, None if number else arrivals) for number in range(readers)]
    for protocol in protocols:
        await loop.create_connection(protocol.itself, "127.0.0.1", port)
        await opened.acquire()
    used = time.process_time()
    print("ready", flush=True)
    count = int(await asyncio.to_thread(sys.stdin.readline))
    ends_at = time.monotonic() + 30
    while min(protocol.seen for protocol in protocols) < count and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    seen: Seen = {
        "fewest": min(protocol.seen for protocol in protocols),
        "most": max(protocol.seen for protocol in protocols),
        "cpu_s": time.process_time() - used,
        "arrivals": arrivals,
    }
    print(orjson.dumps(seen).decode(), flush=True)


def _committed_at(line: bytes) -> float:
    timestamp: str = orjson.loads(line.removeprefix(b"data: "))["timestamp"]
    return datetime.fromisoformat(timestamp).timestamp()


if __name__ == "__main__":
    uvloop.run(_read_all(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
