"""The helper processes that Python's multiprocessing starts beside its workers, ended as it would end them.

They are children of a function's process that outlive it by design. Their ids are private attributes; where a
Python has others, they are killed like any other process, and multiprocessing warns when it starts new ones.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import Any

END_S_MAX = 1.0
"""How long the resource tracker may take to remove what nobody closed, in seconds."""


def helper_pids() -> frozenset[int]:
    """Return the resource tracker, which removes shared memory and semaphores once all others are gone."""
    pid = getattr(_tracker(), "_pid", None)
    return frozenset() if pid is None else frozenset((pid,))


def stop_helpers() -> None:
    """End the resource tracker; multiprocessing starts it and its fork server again when they are needed."""
    tracker = _tracker()
    if getattr(tracker, "_pid", None) is not None:
        _close(tracker, "_fd")
        _wait(tracker._pid)
        tracker._pid = None
    server: Any = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    if getattr(server, "_forkserver_pid", None) is not None:
        _close(server, "_forkserver_alive_fd")
        server._forkserver_pid = server._forkserver_address = None


def _tracker() -> Any:
    return getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)


def _close(holder: Any, name: str) -> None:
    with contextlib.suppress(OSError, TypeError):
        os.close(getattr(holder, name))
    setattr(holder, name, None)


def _wait(pid: int) -> None:
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [], END_S_MAX)
        finally:
            os.close(handle)
