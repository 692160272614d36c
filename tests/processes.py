"""Processes of this machine as it sees them itself: a command in a namespace of its own has other ids for
them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.ray.signals import until


def processes_with(text: str) -> list[int]:
    """Return the processes whose command line contains the text, its words parted by spaces."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and text in command_line(int(name))]


def shell_of(line: str) -> int:
    """Return the process of a command that runs a shell line.

    A process that the shell forks looks like the shell itself until it runs another program.
    """
    found: list[int] = []

    def alone() -> bool:
        found[:] = processes_with(f"sh -c {line}")
        return len(found) == 1

    until(alone)
    return found[0]


def end_all(text: str) -> None:
    """Kill the processes whose command line contains the text until none is left: one of them may be starting
    another at this moment."""

    def none_left() -> bool:
        left = processes_with(text)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(none_left)


def command_line(pid: int) -> str:
    """Return the command line of a process; empty where it is gone."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def parent(pid: int) -> int:
    """Return the parent of a process that lives."""
    stat = Path("/proc", str(pid), "stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[1])
