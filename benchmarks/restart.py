"""kill -9 of the master on a data directory with a long past: how long until it answers, and
how much memory it takes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from benchmarks import history
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
NEVER_S = 100 * OVER_S
BACK_S_MAX = 300.0
# A start that folds everything takes long: as often as a median needs.
ROUNDS_SLOW = 3


def run(scale: Scale) -> Report:
    """Prepare two data directories, one with its finished tasks archived and one without;
    kill each master some times."""
    lines: list[Line] = []
    with scratch() as folder:
        for which, retention_s in (("", RETENTION_S), (", none archived", NEVER_S)):
            home = folder / f"keeps-{retention_s:.0f}-s"
            history.write(
                home,
                finished=scale.finished_tasks,
                over_s=OVER_S,
                retention_s=retention_s,
                live=scale.live_tasks,
            )
            lines += _lines(home, scale, which, retention_s)
    title = (
        f"{scale.finished_tasks:,} finished and {scale.live_tasks:,} live tasks, master killed with kill -9"
    )
    notes = (
        "prepared through the engine: every task submitted, assigned and completed; snapshots as "
        "the master keeps them",
        f"finished over a day; those older than {RETENTION_S:g} s have left memory for the history, "
        "as by default",
        "to the first answer: a POST /tasks sent at once, which the replica repeats until the new master has "
        "carried it out",
    )
    return Report(NAME, title, tuple(lines), notes)


def _lines(data_dir: Path, scale: Scale, which: str, retention_s: float) -> list[Line]:
    since_kill: list[float] = []
    rss: list[float] = []
    asked = time.monotonic()
    with helix(data_dir, retention_s=str(retention_s)) as server:
        up_s = time.monotonic() - asked
        for _ in range(scale.rounds if retention_s < OVER_S else ROUNDS_SLOW):
            seconds, memory = _kill_and_wait(server)
            since_kill.append(seconds)
            rss.append(memory / GIB)
    answer, memory_gib = Series("", "s", tuple(since_kill)), Series("", "GiB", tuple(rss))
    aimed = retention_s == RETENTION_S
    answer_goal = at_most(ANSWER_S_MAX, "s", answer) if aimed else None
    rss_goal = at_most(RSS_GIB_MAX, "GiB", memory_gib) if aimed else None
    return [
        Line(f"from the kill to the first answer{which}", answer, goal=answer_goal),
        Line(f"RSS of the master then{which}", memory_gib, goal=rss_goal),
        Line(f"`helix up` on it until ready{which}", Series("", "s", (up_s,))),
    ]


def _kill_and_wait(server: Helix) -> tuple[float, float]:
    """Kill the master; return the seconds to the next answer, and the new master's RSS in bytes."""
    post = server.request("POST", "/tasks", {"title": "Test Task", "type": "planning", "priority": "high"})
    killed = time.monotonic()
    os.kill(server.actor("Master").pid, signal.SIGKILL)
    while True:
        try:
            one_by_one(server.port, [post])
            break
        except (Unexpected, OSError):
            if time.monotonic() - killed > BACK_S_MAX:
                raise
    return time.monotonic() - killed, float(server.actor("Master").memory_info().rss)
