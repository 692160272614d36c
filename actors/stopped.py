"""Processes that are stopped (SIGSTOP, a suspended job): finds them, so that those that
stay stopped can be killed.

A stopped process keeps its connections, its locks and its name, but does nothing. Its callers cannot
distinguish it from a busy one, for which they must have patience, but /proc can: its state is T. A
process under a debugger has the state t, and is left alone. A process that is only slow because the
machine is overloaded is never T.

Only observed time counts: each look adds the time since the last one, at most LOOK_S_MAX. So time in which
the observer itself did not run (a paused machine, a stopped session) does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LOOK_EVERY_S = 1.0
LOOK_S_MAX = 2.0


class StoppedWatch:
    """Measures how long processes have been stopped; `look` is called about every LOOK_EVERY_S."""

    def __init__(self, stopped_s_max: float) -> None:
        self._stopped_s_max = stopped_s_max
        self._looked_at = 0.0
        # By process id and stop: a process that ran in between is in another stop.
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
    """Return a number that identifies a stop of a process; None where it is not stopped, or is gone.

    It is the number of context switches, which grows when the process runs, and not while it is stopped.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if not fields["State"].lstrip().startswith("T"):
        return None
    return int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
