"""Processes that are stopped (SIGSTOP, a suspended job): the kernel says so, and one that stays so is ended.

A stopped process keeps its connections, its locks and its name, and does nothing. Whoever waits for it cannot
tell it from one that is busy, and must be patient; /proc can: its state is T. One that a debugger holds has
the state t, and is left alone. One that is only slow because the machine is overloaded is never T.

Nothing counts but what was seen: a look adds the time since the last one, LOOK_S_MAX at most. So
nobody is ended for time in which the one who looks did not run itself: a machine that was paused,
a session that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LOOK_EVERY_S = 1.0
LOOK_S_MAX = 2.0


class StoppedWatch:
    """Knows how long processes have been stopped; `look` is called about every LOOK_EVERY_S."""

    def __init__(self, stopped_s_max: float) -> None:
        self._stopped_s_max = stopped_s_max
        self._looked_at = 0.0
        # By process id and stop: one that went on meanwhile is in another stop.
        self._seen_s: dict[tuple[int, int], float] = {}

    def look(self, pids: Iterable[int], now: float) -> list[int]:
        """Return which of these processes of this host have been stopped for too
        long; `now` is monotonic seconds."""
        passed_s = min(now - self._looked_at, LOOK_S_MAX)
        self._looked_at = now
        stops = [(pid, stop) for pid in pids if (stop := stop_of(pid)) is not None]
        before = self._seen_s
        self._seen_s = {stop: before[stop] + passed_s if stop in before else 0.0 for stop in stops}
        return [pid for (pid, _), seen_s in self._seen_s.items() if seen_s >= self._stopped_s_max]


def stop_of(pid: int) -> int | None:
    """Return a number that tells this stop of a process from its others; None where it is
    not stopped, or is gone.

    It is how often the process was switched to and from: that grows when it goes on, and
    not while it is stopped.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if not fields["State"].lstrip().startswith("T"):
        return None
    return int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
