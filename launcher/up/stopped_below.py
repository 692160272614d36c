"""Ends processes of Ray below this one that stay stopped: actors, raylets, the GCS.
Those of users are theirs.

Whoever is meant to live is started again by whoever sees to it: Ray, Serve, the supervisor,
or who started the node.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from actors.stopped import StoppedWatch
from launcher.up import process_tree

# Who is below is read from all of /proc: seldom enough to cost nothing on a machine
# with thousands of processes.
LIST_EVERY_S = 3.0
TITLE = "ray::"
PROGRAMS = frozenset({"gcs_server", "raylet"})


class StoppedBelow:
    """Made by the process that has Ray below it, which calls `look` about once a second."""

    def __init__(self, stopped_s_max: float, say: Callable[[str], None]) -> None:
        self._watch = StoppedWatch(stopped_s_max)
        self._stopped_s_max = stopped_s_max
        self._say = say
        self._names: dict[int, str] = {}
        self._listed_at = -LIST_EVERY_S

    def look(self, now: float) -> None:
        """End what has been stopped for too long, with a line that says so; `now` is monotonic seconds."""
        if now - self._listed_at >= LIST_EVERY_S:
            self._listed_at = now
            below = {pid: _name_in_ray(pid) for pid in process_tree.descendants(os.getpid())}
            self._names = {pid: name for pid, name in below.items() if name is not None}
        for pid in self._watch.look(self._names, now):
            # A process id may have been given to somebody else since the list was made.
            if _name_in_ray(pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self._say(
                        f"{self._names[pid]} (pid {pid}) was suspended for {self._stopped_s_max:g} s "
                        "and was killed"
                    )


def _name_in_ray(pid: int) -> str | None:
    """Return what Ray calls a process of its own; None for another's, or one that is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        program = (folder / "comm").read_text().rstrip("\n")
    except OSError:
        return None
    if title.startswith(TITLE):
        return title.split()[0]
    return program if program in PROGRAMS else None
