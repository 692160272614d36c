"""The processes that come of one process: found through /proc, ended, and waited for.

A child that takes a session of its own, or whose parent is gone, is found too, as long as its ancestors are
ours or `adopt_orphans` was called: then the kernel makes every orphan below us our child.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

END_WAIT_S = 5.0
"""How long killed processes may take to be gone, in seconds; uninterruptible sleep may last for ever."""

MARK_VARIABLE = "HELIX_EXECUTOR_ID"

_PR_SET_NAME = 15  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.002
_DEAD = (b"Z", b"X")

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT


def adopt_orphans() -> None:
    """Become the parent of every orphan among this process's descendants, whatever was set before."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_children() -> bool:
    """Say whether this process has a child, living or not; one system call."""
    # The only error that can come is that there is none (ECHILD); an exception would cost more than the call.
    refused: int = _libc.waitid(os.P_ALL, 0, None, _WAIT)
    return not refused


def descendants(of: int, *, but: Collection[int] = ()) -> dict[int, int]:
    """Return the living processes below `of`, each with its parent, except `but` and what is below those."""
    children: dict[int, list[tuple[int, bytes]]] = {}
    for pid, parent, state in _processes():
        children.setdefault(parent, []).append((pid, state))
    found: dict[int, int] = {}
    ahead = [of]
    while ahead:
        parent = ahead.pop()
        for pid, state in children.get(parent, ()):
            if pid not in but:
                ahead.append(pid)
                if state not in _DEAD:
                    found[pid] = parent
    return found


def end_own(but: Collection[int] = (), wait_s: float = END_WAIT_S) -> list[int]:
    """SIGKILL and reap every descendant of this process except `but`; return those that are still there."""
    return _end(lambda: _below_us(but), wait_s)


def end_below(pid: int, handle: int, wait_s: float = END_WAIT_S) -> list[int]:
    """Stop a process, SIGKILL all of its descendants, then itself; return those that are still there.

    `handle` is its pidfd: when it is gone, its id may be another's. While stopped, it starts no more of them;
    its orphans are found if it had called `adopt_orphans`.
    """
    try:
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        left = _end(lambda: descendants(pid), wait_s)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return []
    return left


def mark(identity: str) -> None:
    """Mark this process so that `end_marked` finds what comes of it when it is gone.

    What it executes has the variable, as /proc shows it from then on; what it only forks has the name of the
    calling thread, which threads that are made by it inherit.
    """
    os.environ[MARK_VARIABLE] = identity
    _prctl(_PR_SET_NAME, _name(identity), 0, 0, 0)


def end_marked(identity: str, wait_s: float = END_WAIT_S) -> list[int]:
    """SIGKILL every process with this mark and wait until it is gone; return those that are still there."""
    give_up_at = time.monotonic() + wait_s
    # What it forked before it was killed is found by the next look.
    while killed := _kill_marked(identity, give_up_at):
        if time.monotonic() > give_up_at:
            return killed
    return []


def _kill_marked(identity: str, give_up_at: float) -> list[int]:
    """SIGKILL what lives and has this mark; return it when all of it is gone, or at that monotonic time."""
    name, variable = _name(identity), f"{MARK_VARIABLE}={identity}".encode()
    killed: dict[int, int] = {}
    for pid, _, state in _processes():
        if state not in _DEAD and pid != os.getpid():
            with contextlib.suppress(OSError):
                handle = os.pidfd_open(pid)
                try:
                    if _has(pid, name, variable):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        killed[pid] = os.dup(handle)
                finally:
                    os.close(handle)
    for handle in killed.values():
        _wait_for(handle, give_up_at)
        os.close(handle)
    return list(killed)


def _wait_for(handle: int, give_up_at: float) -> None:
    """Wait until the process of a pidfd has ended, or for that monotonic time."""
    end = select.poll()
    end.register(handle, select.POLLIN)
    end.poll(max(0.0, give_up_at - time.monotonic()) * 1000)


def _name(identity: str) -> bytes:
    """Return a name of at most 15 bytes, as many as the kernel keeps."""
    return b"hx-" + hashlib.sha256(identity.encode()).hexdigest()[:12].encode()


def _has(pid: int, name: bytes, variable: bytes) -> bool:
    process = Path("/proc", str(pid))
    if (process / "comm").read_bytes().rstrip(b"\n") == name:
        return True
    return variable in (process / "environ").read_bytes().split(b"\0")


def _below_us(but: Collection[int]) -> dict[int, int]:
    _reap(but)
    return descendants(os.getpid(), but=but)


def _reap(but: Collection[int]) -> None:
    """Take the exit of every dead child except `but`, orphans that became ours included."""
    us = os.getpid()
    for pid, parent, state in _processes():
        if parent == us and state in _DEAD and pid not in but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _end(living: Callable[[], dict[int, int]], wait_s: float) -> list[int]:
    give_up_at = time.monotonic() + wait_s
    while left := living():
        if time.monotonic() > give_up_at:
            return list(left)
        for pid, parent in left.items():
            _kill(pid, parent)
        time.sleep(_POLL_S)
    return []


def _kill(pid: int, parent: int) -> None:
    """SIGKILL a process unless its id is another's by now."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _stat(str(pid))[0] == parent:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _processes() -> Iterator[tuple[int, int, bytes]]:
    """Yield (pid, parent's pid, state) of every process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry), *_stat(entry)


def _stat(pid: str) -> tuple[int, bytes]:
    """Return (parent's pid, state): fields 4 and 3 of /proc/PID/stat, see proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        stat = file.read()
    state, parent, _ = stat[stat.rindex(b")") + 2 :].split(b" ", 2)
    return int(parent), state
