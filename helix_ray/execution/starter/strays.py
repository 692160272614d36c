"""The end of processes whose starter or cell was killed: found as children, wherever they went."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection
from ctypes import CDLL, c_ulong

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
ENDED_S_MAX = 5.0
LOOK_AGAIN_S = 0.002


def adopt_orphans() -> None:
    """Make every orphan below this process its child, whatever session it has."""
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, c_ulong(1), c_ulong(0), c_ulong(0), c_ulong(0))


def end_children(except_pids: Collection[int] = (), wait_s: float = ENDED_S_MAX) -> int:
    """Kill all descendants but those of `except_pids`, wait until they are gone, and return how many were
    seen.

    A descendant becomes a child when its parent dies, so that killing children until there are none ends all.
    """
    give_up_at = time.monotonic() + wait_s
    seen: set[int] = set()
    while (strays := _children(except_pids)) and time.monotonic() < give_up_at:
        seen.update(strays)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(LOOK_AGAIN_S)
    return len(seen)


def _children(except_pids: Collection[int]) -> list[int]:
    """Return the children of this process. Their ids are theirs as long as we have not waited for them."""
    mine = os.getpid()
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and int(name) not in except_pids and _parent(name) == mine
    ]


def _parent(pid: str) -> int:
    """Return the parent of a process, 0 where it is gone (proc_pid_stat(5): 4 is the parent)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split(b" ", 2)[1])
