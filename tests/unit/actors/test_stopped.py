"""Processes that are stopped are told from those that are busy, asleep or debugged,
and none is ended too soon."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actors.stopped import LOOK_S_MAX, StoppedWatch, stop_of
from tests.ray.signals import until

STOPPED_S_MAX = 5.0
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
BUSY = [sys.executable, "-c", "while True: pass"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def stopped(process: subprocess.Popen[bytes]) -> int:
    """Stop a process, wait until it stands, and return its id."""
    process.send_signal(signal.SIGSTOP)
    until(lambda: stop_of(process.pid) is not None)
    return process.pid


def looks(watch: StoppedWatch, pid: int, *moments: float) -> list[bool]:
    """Look at these moments; say for each whether the process has been stopped for too long."""
    return [watch.look([pid], now) == [pid] for now in moments]


def test_a_stop_is_ended_after_its_time(child: subprocess.Popen[bytes]) -> None:
    """Not before, and counted from the first look that saw it."""
    watch, pid = StoppedWatch(STOPPED_S_MAX), stopped(child)
    assert looks(watch, pid, *map(float, range(100, 107))) == [False] * 5 + [True] * 2


def test_who_went_on_meanwhile_begins_anew(child: subprocess.Popen[bytes]) -> None:
    """A process that is slowed by stops and goes (cpulimit) may be found stopped at every look."""
    watch, pid = StoppedWatch(STOPPED_S_MAX), stopped(child)
    assert looks(watch, pid, 100.0, 101.0, 102.0, 103.0) == [False] * 4
    child.send_signal(signal.SIGCONT)
    until(lambda: stop_of(pid) is None)
    stopped(child)
    assert looks(watch, pid, 104.0, 105.0, 106.0, 107.0, 108.0) == [False] * 5
    assert looks(watch, pid, 109.0) == [True]


def test_time_in_which_nobody_looked_does_not_count(child: subprocess.Popen[bytes]) -> None:
    """A machine that was paused for an hour: what it finds stopped has its whole time still."""
    watch, pid = StoppedWatch(STOPPED_S_MAX), stopped(child)
    assert looks(watch, pid, 100.0, 3700.0, 7300.0) == [False] * 3
    assert LOOK_S_MAX < STOPPED_S_MAX / 2
    assert looks(watch, pid, 7301.0) == [True]


def test_sleeping_busy_and_dead_are_not_stopped(child: subprocess.Popen[bytes]) -> None:
    """However long they answer nobody."""
    with subprocess.Popen(BUSY) as busy:
        assert stop_of(child.pid) is None
        assert stop_of(busy.pid) is None
        busy.kill()
    assert stop_of(busy.pid) is None


def test_who_is_debugged_is_left_to_the_debugger(child: subprocess.Popen[bytes]) -> None:
    """A process that stands because it is traced has another state."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(PTRACE_SEIZE, child.pid, None, None) == 0, os.strerror(ctypes.get_errno())
    assert libc.ptrace(PTRACE_INTERRUPT, child.pid, None, None) == 0
    os.waitpid(child.pid, 0)
    assert stop_of(child.pid) is None
