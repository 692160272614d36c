"""kill -9 of the master on a data directory with a long past: how long until it answers, and how much memory it takes."""

from __future__ import annotations

import http.client
import os
import signal
import time
from pathlib import Path

import psutil

from benchmarks.history import past
from benchmarks.load import Unexpected, one_by_one
from benchmarks.processes import Helix, helix, scratch
from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale

NAME = "restart"
ANSWER_S_MAX = 5.0
RSS_GIB_MAX = 1.0
GIB = float(2**30)
# The finished tasks of one day, of which those of the last ten minutes are still in the master's memory.
OVER_S = 86_400.0
RETENTION_S = 600.0
BACK_S_MAX = 120.0


def run(scale: Scale) -> Report:
    """Prepare two data directories, one with its finished tasks retired and one without; kill each master some times."""
    with scratch() as folder:
        _prepare(folder / "retired", scale, retire=True)
        retired = _lines(folder / "retired", scale, "", with_goals=True)
        _prepare(folder / "kept", scale, retire=False)
        kept = _lines(folder / "kept", scale, ", none retired yet", with_goals=False)
    title = f"{scale.finished_tasks:,} finished and {scale.live_tasks:,} live tasks, the master killed with kill -9"
    notes = (
        "prepared through the engine: every task submitted, assigned and completed; snapshots as the master keeps them",
        f"retired: finished over a day, those older than {RETENTION_S:g} s left to the history, as the historian does",
        "from its process start: the kernel's start time of the new master's process to the answer to a POST /tasks",
    )
    return Report(NAME, title, (*retired, *kept), notes)


def _prepare(data_dir: Path, scale: Scale, *, retire: bool) -> None:
    with past(data_dir) as before:
        before.finish(scale.finished_tasks, OVER_S)
        if retire:
            before.retire(RETENTION_S)
        before.submit_live(scale.live_tasks)


def _lines(data_dir: Path, scale: Scale, which: str, *, with_goals: bool) -> tuple[Line, ...]:
    # Where they are to stay, the historian must not retire them while we measure.
    settings = {} if with_goals else {"retention_s": str(10 * OVER_S)}
    since_kill: list[float] = []
    since_start: list[float] = []
    rss: list[float] = []
    with helix(data_dir, **settings) as server:
        for _ in range(scale.rounds):
            killed, started, memory = _kill_and_wait(server)
            since_kill.append(killed)
            since_start.append(started)
            rss.append(memory / GIB)
    start, memory_gib = Series("", "s", tuple(since_start)), Series("", "GiB", tuple(rss))
    return (
        Line(f"from its process start to the first answer{which}", start,
             goal=at_most(ANSWER_S_MAX, "s", start) if with_goals else None),
        Line(f"from the kill to the first answer{which}", Series("", "s", tuple(since_kill))),
        Line(f"RSS of the master then{which}", memory_gib,
             goal=at_most(RSS_GIB_MAX, "GiB", memory_gib) if with_goals else None),
    )  # fmt: skip


def _kill_and_wait(server: Helix) -> tuple[float, float, float]:
    """Kill the master; return the seconds from the kill and from the next one's start to an answer, and its RSS bytes."""
    post = server.request("POST", "/tasks", {"title": "Test Task", "type": "planning", "priority": "high"})
    old = server.actor("Master")
    killed = time.time()
    os.kill(old.pid, signal.SIGKILL)
    while True:
        try:
            one_by_one(server.port, [post])
            break
        except (Unexpected, OSError, http.client.HTTPException):
            if time.time() - killed > BACK_S_MAX:
                raise
    answered = time.time()
    new = _other_than(server, old)
    return answered - killed, answered - new.create_time(), new.memory_info().rss


def _other_than(server: Helix, old: psutil.Process) -> psutil.Process:
    found = server.actor("Master")
    if found.pid == old.pid:
        raise RuntimeError("the killed master's process still answers")
    return found
