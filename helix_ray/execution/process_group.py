"""Signals process groups, watches their members, and kills orphans."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_DEAD_STATES = ("Z", "X")


def signal_group(pgid: int, number: signal.Signals) -> None:
    """Send a signal to every process of the group; a missing group is not an error.

    Call it only while the group's leader is not reaped yet: until then its id cannot
    be given to another group.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)


def member_handles(pgid: int) -> list[int]:
    """Return a pidfd for every living process of the group, its leader left out; the caller closes them."""
    handles = dict(_members(pgid))
    leader = handles.pop(pgid, None)
    if leader is not None:
        os.close(leader)
    return list(handles.values())


def end_orphans(pgid: int, task_id: str, attempt: int) -> int:
    """Kill what is left of a command whose executor died; return the number of processes.

    For the node worker, with `Started.pgid`. The leader's id may have been reused, so only processes whose
    environment has the attempt's HELIX_TASK_ID and HELIX_ATTEMPT are killed, by pidfd.
    """
    marks = {f"HELIX_TASK_ID={task_id}".encode(), f"HELIX_ATTEMPT={attempt}".encode()}
    ended = 0
    for pid, handle in _members(pgid):
        try:
            if marks <= set(Path("/proc", str(pid), "environ").read_bytes().split(b"\0")):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                ended += 1
        except OSError:
            continue  # gone meanwhile, or another user's
        finally:
            os.close(handle)
    return ended


def _members(pgid: int) -> Iterator[tuple[int, int]]:
    """Yield (pid, pidfd) of the group's living processes.

    Linux has no call that lists a group, so the fields of /proc/PID/stat are read (proc_pid_stat(5): 3 is the
    state, 5 the group). They are read again after the pidfd is open, so they belong to its process.
    """
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or not _is_member(entry, pgid):
            continue
        try:
            handle = os.pidfd_open(int(entry))
        except OSError:
            continue
        if _is_member(entry, pgid):
            yield int(entry), handle
        else:
            os.close(handle)


def _is_member(pid: str, pgid: int) -> bool:
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except OSError:
        return False
    state, _parent, group = stat[stat.rindex(b")") + 2 :].split(b" ", 3)[:3]
    return int(group) == pgid and state.decode() not in _DEAD_STATES
