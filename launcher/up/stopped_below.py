"""Kills Ray's processes below a given one that stay stopped (SIGSTOP): actors, raylets, the GCS. User
processes are left alone.

Each is restarted by its owner: Ray, Serve, the supervisor, or the process that started the node.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from actors.stopped import StoppedWatch
from launcher.up import process_tree

# Listing descendants reads all of /proc: the interval is long enough for a machine with thousands of
# processes.
LIST_EVERY_S = 3.0
TITLE = "ray::"
PROGRAMS = frozenset({"gcs_server", "raylet"})


class StoppedBelow:
    """Used by the process that started Ray, which calls `look` about once a second. `root` is the process to
    which those below it go when their parent ends."""

    def __init__(self, stopped_s_max: float, say: Callable[[str], None], root: int) -> None:
        self._watch = StoppedWatch(stopped_s_max)
        self._stopped_s_max = stopped_s_max
        self._say = say
        self._root = root
        self._names: dict[int, str] = {}
        self._listed_at = -LIST_EVERY_S

    def look(self, now: float) -> None:
        """Kill what has been stopped for too long, and log it; `now` is monotonic seconds."""
        if now - self._listed_at >= LIST_EVERY_S:
            self._listed_at = now
            below = {pid: _name_in_ray(pid) for pid in process_tree.descendants(self._root)}
            self._names = {pid: name for pid, name in below.items() if name is not None}
        for pid in self._watch.look(self._names, now):
            # The process id may have been reused since the list was made.
            if _name_in_ray(pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self._say(
                        f"{self._names[pid]} (pid {pid}) was suspended for {self._stopped_s_max:g} s "
                        "and was killed"
                    )


def _name_in_ray(pid: int) -> str | None:
    """Return Ray's name for one of its processes; None for any other process, or one that is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        program = (folder / "comm").read_text().rstrip("\n")
    except OSError:
        return None
    if title.startswith(TITLE):
        return title.split()[0]
    return program if program in PROGRAMS else None
