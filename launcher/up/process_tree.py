"""Adopts orphaned descendants of this process and kills all of them. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Container, Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_ROUND_S = 0.02
KILL_S_MAX = 10.0

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, daemons included (prctl(2))."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent ends; exit at once where it has ended already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(137)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; it tells a reused pid apart."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def descendants(root: int) -> set[int]:
    """Return the pids below `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found.add(pid)
                waiting.append(pid)
    return found


def names_below(root: int) -> set[str]:
    """Return the names (the kernel's: at most 15 characters) of the processes below `root`."""
    found = set()
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            found.add(Path(f"/proc/{pid}/comm").read_text().rstrip("\n"))
    return found


def reap() -> dict[int, int]:
    """Reap children that have ended; return exit codes by pid, a signal as 128 + its number."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            ended[pid] = code if code >= 0 else 128 - code
    return ended


def reap_orphans(own: Container[int]) -> None:
    """Reap adopted children that have ended; those in `own` are left for the code that started them."""
    with contextlib.suppress(ChildProcessError):
        # WNOWAIT looks first: a Popen whose process somebody else has reaped reports success.
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                break
            os.waitpid(ended.si_pid, 0)


def kill_descendants() -> dict[int, int]:
    """Kill every descendant, in rounds because they may fork meanwhile; return the exit codes of our
    children.

    Returns when none is left, or after KILL_S_MAX for those in uninterruptible I/O.
    """
    ended: dict[int, int] = {}
    give_up = time.monotonic() + KILL_S_MAX
    while time.monotonic() < give_up:
        below = descendants(os.getpid())
        if not below:
            break
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(KILL_ROUND_S)
        ended |= reap()
    return ended | reap()


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields and fields[0] != "Z":
                yield int(name), int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name, which may contain spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()
