"""The front: the process that the user started. It locks the data directory, forks the keeper, and turns
signals into an orderly shutdown."""

from __future__ import annotations

import dataclasses
import errno
import os
import secrets
import select
import signal
import sys
from pathlib import Path
from types import FrameType

from helix_ray.config import Settings
from helix_ray.private import narrow_below
from helix_ray.socket_folders import SocketFolder
from launcher.up import data_dir as home
from launcher.up import environment, keeper, process_tree
from launcher.up.checks import CannotStart, check
from launcher.up.holding import this_process
from launcher.up.public_socket import PublicSocket
from launcher.up.saying import say

# The paths of Ray's Unix sockets are some 70 characters longer, and may have at most 107.
TEMPORARY = "/tmp"  # noqa: S108  # the folder below it is ours alone
PUBLIC_SOCKET = "public"
ROOM_EVERY_S = 1.0
# Time for requests under way to finish.
WITHDRAW_S_MAX = 1.0


def up(settings: Settings, app: str, given: str | None = None) -> int:
    """Start the server and run until told to stop; return the exit code. `given` is the administrator's
    password.

    Raises CannotStart for settings that cannot work, DataDirBusy when another instance runs on the data
    directory.
    """
    lock = home.take(settings.data_dir)
    check(settings)
    public = PublicSocket(settings.host, settings.port)
    settings = dataclasses.replace(settings, port=public.port)
    try:
        folder = SocketFolder("up", TEMPORARY)
    except PermissionError as error:
        raise CannotStart(str(error)) from None
    temp_dir = folder.path
    below = _environment(settings, temp_dir / PUBLIC_SOCKET)
    _note(settings.data_dir, _instance(below[environment.MARKER], settings))
    process_tree.adopt_orphans()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        public.close()
        _run_keeper(reading, settings.data_dir, lock, temp_dir, below, app, given)
    os.close(reading)
    public.hand_out(temp_dir / PUBLIC_SOCKET)
    # The folder itself is private already (cli.py); files that an earlier start left in it are not urgent.
    narrow_below(settings.data_dir)
    code = _wait_for_keeper(pid, writing, public)
    # The end of the keeper orphans what it did not end.
    process_tree.kill_descendants()
    folder.remove()
    home.DATA_DIR.forget(settings.data_dir, lock)
    os.close(lock)
    return code


def _run_keeper(
    reading: int,
    data_dir: Path,
    lock: int,
    temp_dir: Path,
    below: dict[str, str],
    app: str,
    given: str | None,
) -> None:
    code = 1
    try:
        code = keeper.keep(reading, data_dir, lock, temp_dir, below, app, given)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait_for_keeper(pid: int, writing: int, public: PublicSocket) -> int:
    """Wait for the keeper. The first signal stops accepting connections and then closes the pipe, which asks
    for an orderly shutdown."""
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            public.withdraw(WITHDRAW_S_MAX)
            os.close(writing)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` has a program ignore SIGHUP, so that it outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return 0 if stopping else (code if code >= 0 else 1)


def _environment(settings: Settings, public_socket: Path) -> dict[str, str]:
    if "RAY_ADDRESS" in os.environ:
        below = dict(os.environ) | environment.sharing(public_socket)
    else:
        below = environment.local(public_socket, settings.data_dir, os.environ)
    # With --port 0 the kernel has chosen the port.
    return below | {environment.MARKER: secrets.token_hex(8), "HELIX_PORT": str(settings.port)}


def _note(data_dir: Path, instance: home.Instance) -> None:
    """Write the state file; on a full disk, try again until it succeeds."""
    waiting = False
    while True:
        try:
            return home.DATA_DIR.write(data_dir, instance)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not waiting:
                say(f"waiting for free space in {data_dir}: {error.strerror}")
            waiting = True
        select.select([], [], [], ROOM_EVERY_S)


def _instance(marker: str, settings: Settings) -> home.Instance:
    return home.Instance(**this_process(), id=marker, host=settings.host, port=settings.port)
