"""One writer for each data directory: an advisory lock, which the kernel releases when the process ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from helix_ray.journal.errors import JournalLocked

RETRY_S = 0.02


class FileLock:
    """An exclusive flock on a file that contains the process id of its owner."""

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        """Take the lock, waiting up to `wait_s` seconds for a process that is
        ending. Raises JournalLocked."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + wait_s
        while not self._try():
            if time.monotonic() >= end:
                holder = os.pread(self._handle, 32, 0).decode(errors="replace").strip() or "unknown"
                self.release()
                raise JournalLocked(f"{path.parent} is in use by process {holder}")
            time.sleep(RETRY_S)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock; safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
