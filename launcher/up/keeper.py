"""The keeper: starts the session, adopts its orphaned descendants, and leaves no process behind.

It is a fork of the front and has two file descriptors: the reading end of a pipe whose only writer is the
front, so that the pipe ends when the front does, even by SIGKILL; and the data directory's lock, so that the
directory is free only when all descendants have ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from launcher.up import data_dir as home
from launcher.up import password, process_tree
from launcher.up.environment import MARKER
from launcher.up.saying import say

# Killing the session after this time loses nothing but the master's last snapshot, which only saves time at
# the next start. The front has waited before (front.py: WITHDRAW_S_MAX), and `helix down` promises three
# seconds for everything.
STOP_S_MAX = 1.8
# In a cluster that somebody else started, actors that are not stopped would stay.
STOP_JOINED_S_MAX = 20.0
EXIT_SIGNALLED = 128
EXIT_KILLED = EXIT_SIGNALLED + signal.SIGKILL
# Not SIGTERM: Ray's library prints a stack trace for it before Python handles it.
STOP_SIGNAL = signal.SIGUSR1


def keep(
    front_end: int,
    data_dir: Path,
    lock: int,
    temp_dir: Path,
    environment: dict[str, str],
    app: str,
    given: str | None,
) -> int:
    """Run one session; return its exit code when all descendants have ended. `lock` is that of the data
    directory."""
    os.setsid()
    process_tree.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    wake_up = _wake_up_on_child()
    code = 1
    try:
        session = _start_session(environment, app, temp_dir, given)
        joined = "RAY_ADDRESS" in environment
        code = _wait(session, front_end, wake_up, STOP_JOINED_S_MAX if joined else STOP_S_MAX)
        if joined and code >= EXIT_KILLED:
            _sweep(environment, app, temp_dir, data_dir)
    finally:
        process_tree.kill_descendants()
        _keep_logs(temp_dir, data_dir, failed=code not in (0, EXIT_KILLED))
        shutil.rmtree(temp_dir, ignore_errors=True)
        home.DATA_DIR.forget(data_dir, lock)
    return code


def _start_session(environment: dict[str, str], app: str, temp_dir: Path, given: str | None) -> int:
    keeper = os.getpid()
    with password.handed_on(given, environment) as (own, handles):
        return subprocess.Popen(
            _command(app, temp_dir),
            env=own,
            pass_fds=handles,
            stdin=subprocess.DEVNULL,
            restore_signals=True,
            preexec_fn=lambda: _prepare_session(keeper),  # preexec_fn is safe: there is only one thread
        ).pid


def _command(app: str, temp_dir: Path) -> list[str]:
    return [sys.executable, "-m", "launcher.up.session", "--temp-dir", str(temp_dir / "r"), "--app", app]


def _sweep(environment: dict[str, str], app: str, temp_dir: Path, data_dir: Path) -> None:
    """Remove our actors and the API from a joined cluster after the session was killed."""
    state = home.ours(data_dir, environment[MARKER])
    if state is not None and state.ray_address is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            command = [*_command(app, temp_dir), "--sweep"]
            subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=STOP_JOINED_S_MAX)


def _prepare_session(keeper: int) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    process_tree.die_with_parent(keeper)


def _wake_up_on_child() -> int:
    """Return a descriptor that becomes readable at SIGCHLD, so that one select waits for it and the pipe."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


def _wait(session: int, front_end: int, wake_up: int, stop_s_max: float) -> int:
    """Wait for the session to end; when the front ends first, ask it to stop, and kill it after
    stop_s_max."""
    sources = [wake_up, front_end]
    give_up: float | None = None
    while True:
        left = None if give_up is None else max(0.0, give_up - time.monotonic())
        readable, _, _ = select.select(sources, [], [], left)
        if wake_up in readable:
            os.read(wake_up, 4096)
        ended = process_tree.reap()
        if session in ended:
            if front_end in sources and ended[session] > EXIT_SIGNALLED:
                say(f"it cannot continue: a signal ({ended[session] - EXIT_SIGNALLED}) has ended its session")
            return ended[session]
        if front_end in readable:
            sources.remove(front_end)
            os.kill(session, STOP_SIGNAL)
            give_up = time.monotonic() + stop_s_max
        elif give_up is not None and time.monotonic() >= give_up:
            return EXIT_KILLED


def _keep_logs(temp_dir: Path, data_dir: Path, *, failed: bool) -> None:
    """After a failure, keep Ray's logs if the disk has space; those of the last failure only."""
    if not failed:
        return
    for logs in temp_dir.glob("r/session_2*/logs"):
        kept = data_dir / home.RAY_LOGS
        shutil.rmtree(kept, ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.move(logs, kept)
