"""The event stream read from the beginning of a journal whose tasks have left memory, or not yet."""

from __future__ import annotations

import socket
import time

from benchmarks import history
from benchmarks.processes import Helix, helix, scratch, tree_cpu_s
from benchmarks.report import Line, Series
from helix_ray.core.state import GONE_REMEMBERED

# What begins the frame of each task's last event.
COMPLETED = b"event: task.completed"
EVENTS_PER_TASK = 3
PIECE_BYTES = 1 << 18
SILENCE_S_MAX = 60.0
# The tasks ended so long ago. They stay in memory for longer, or left it before as many others as the state
# remembers.
ENDED_S = 60.0
KEPT_S, ARCHIVED_S = 86_400.0, 0.0


def lines(tasks: int, rounds: int) -> list[Line]:
    """Read the events of the first so many tasks, each of which was submitted, assigned and completed."""
    archived, kept = _of_past(tasks, rounds, ARCHIVED_S), _of_past(tasks, rounds, KEPT_S)
    names = ("events/s", "us")
    ours, anchors = (
        [Series(name, unit, tuple(values)) for unit, values in zip(names, found, strict=True)]
        for name, found in (("", archived), ("tasks in memory", kept))
    )
    titles = (f"from the beginning, {tasks:,} archived tasks", "CPU of the server for an event")
    return [Line(*each) for each in zip(titles, ours, anchors, strict=True)]


def _of_past(tasks: int, rounds: int, retention_s: float) -> tuple[list[float], list[float]]:
    """Return the events a second of each round, and the CPU microseconds of the server for each."""
    with scratch() as folder:
        history.write(folder, finished=tasks + GONE_REMEMBERED, over_s=ENDED_S, retention_s=retention_s)
        with helix(folder, retention_s=str(retention_s or ENDED_S)) as server:
            _read(server, tasks)
            found = [_read(server, tasks) for _ in range(rounds)]
    return [per_s for per_s, _ in found], [cpu_us for _, cpu_us in found]


def _read(server: Helix, tasks: int) -> tuple[float, float]:
    events, used, began = tasks * EVENTS_PER_TASK, tree_cpu_s(server.pid), time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=SILENCE_S_MAX) as stream:
        stream.sendall(
            "GET /api/v1/events?events=task.*&after=0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        seen, kept = 0, b""
        while seen < tasks:
            piece = stream.recv(PIECE_BYTES)
            if not piece:
                raise RuntimeError(f"the stream ended after {seen} of {tasks} tasks")
            found = kept + piece
            seen += found.count(COMPLETED)
            kept = found[-len(COMPLETED) + 1 :]
    took = time.perf_counter() - began
    return events / took, (tree_cpu_s(server.pid) - used) / events * 1e6
