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
from datetime import datetime

import orjson

from benchmarks.load import percentile, side_by_side
from benchmarks.processes import Helix, helix
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


def run(scale: Scale) -> Report:
    """Submit without readers, beside one, and beside all of them, in turn."""
    found: dict[int, list[float]] = {0: [], 1: [], READERS: []}
    arrivals: dict[int, list[list[float]]] = {1: [], READERS: []}
    with helix(streams_per_principal_max=str(2 * READERS)) as server:
        _tasks_per_s(server, scale.few_tasks)
        for _ in range(scale.rounds):
            for readers in found:
                if not readers:
                    found[readers].append(_tasks_per_s(server, scale.few_tasks))
                    continue
                with _reading(server, readers) as process:
                    found[readers].append(_tasks_per_s(server, scale.few_tasks))
                    arrivals[readers].append(_arrived(process, scale.few_tasks))
    alone = Series("without readers", "tasks/s", tuple(found[0]))
    beside = Series("", "tasks/s", tuple(found[READERS]))
    lines = [
        Line(f"{READERS} readers", beside, alone, ratio_at_least(KEPT_SHARE_MIN, "without", beside, alone))
    ]
    for readers, rounds in arrivals.items():
        p50, p99 = (
            Series("", "ms", tuple(percentile(each, share) * 1e3 for each in rounds)) for share in (0.5, 0.99)
        )
        goal = at_most(P50_MS_MAX, "ms", p50) if readers == 1 else None
        lines += [Line(f"{readers} readers: arrival p50", p50, None, goal), Line("p99", p99)]
    notes = (
        f"POST /tasks on {CONNECTIONS} connections; every reader gets each event; the readers have a "
        "process of their own on the same machine",
    )
    return Report(NAME, TITLE, tuple(lines), notes)


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


def _arrived(process: subprocess.Popen[str], count: int) -> list[float]:
    """Return the seconds from commit to arrival; raise AssertionError where a reader has not seen all."""
    said, _ = process.communicate(f"{count}\n")
    seen = orjson.loads(said)
    if seen["fewest"] != count or seen["most"] != count:
        raise AssertionError(f"of {count} events readers saw {seen['fewest']} to {seen['most']}")
    arrivals: list[float] = seen["arrivals"]
    return arrivals


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
    print("ready", flush=True)
    count = int(await asyncio.to_thread(sys.stdin.readline))
    ends_at = time.monotonic() + 30
    while min(counts) < count and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    print(
        orjson.dumps({"fewest": min(counts), "most": max(counts), "arrivals": arrivals}).decode(), flush=True
    )
    for task in tasks:
        task.cancel()


def _committed_at(line: bytes) -> float:
    timestamp: str = orjson.loads(line.removeprefix(b"data: "))["timestamp"]
    return datetime.fromisoformat(timestamp).timestamp()


if __name__ == "__main__":
    asyncio.run(_read_all(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
