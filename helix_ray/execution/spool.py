"""The file that descriptors 1 and 2 of an executor's process lead to while a function runs.

It gets its name, that of the attempt's log, once something was written: a function that prints nothing makes
no file and pays two system calls. The system writes it, not we, so nothing that was written is lost when the
process is killed or stays in C code.

    PID-TIME.out   the spool; replaced when an attempt that has written to it ends
    PID-TIME.key   the running attempt; locked as long as the process or what it forked lives

So a spool with something in it belongs to the attempt that is named beside it, and whoever looks for a log
that has no name yet can give it that (`name_spools`).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import time
from pathlib import Path

from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX, log_path

_KEY_BYTES = 256
_KEY = re.compile(rb"([A-Za-z0-9_.-]+)\.([0-9]+)\0")


class Spool:
    """The spool of this process; raises OSError where it cannot be made."""

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        folder = _folder(log_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{os.getpid()}-{time.time_ns()}.out"
        self._lock = os.open(self._path.with_suffix(".key"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.ftruncate(self._lock, _KEY_BYTES)
        self._key = mmap.mmap(self._lock, _KEY_BYTES)
        self.descriptor = self._make()

    def begin(self, task_id: str, attempt: int) -> None:
        """Name the attempt that what follows is of."""
        key = f"{task_id}.{attempt}\0".encode()
        self._key[: len(key)] = key

    def end(self, task_id: str, attempt: int) -> tuple[int, bytes]:
        """Keep what was written as the attempt's log; return how many bytes that are, and the last of them.

        Raises OSError where it cannot be kept.
        """
        written = os.lseek(self.descriptor, 0, os.SEEK_END)
        if not written:
            return 0, b""
        tail = os.pread(self.descriptor, OUTPUT_TAIL_BYTES_MAX, max(0, written - OUTPUT_TAIL_BYTES_MAX))
        used = self.descriptor
        try:
            _name(self._path, log_path(self.log_dir, task_id, attempt))
        finally:
            # Whatever became of it, the next attempt must not write into it.
            self.descriptor = self._make()
            os.close(used)
        return written, tail

    def close(self) -> None:
        """Remove the spool; safe to call twice."""
        if self.descriptor >= 0:
            for path in (self._path, self._path.with_suffix(".key")):
                path.unlink(missing_ok=True)
            self._key.close()
            os.close(self._lock)
            os.close(self.descriptor)
            self.descriptor = -1

    def _make(self) -> int:
        fresh = self._path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(fresh, flags, 0o600)
        fresh.replace(self._path)
        return descriptor


def name_spools(log_dir: str) -> None:
    """Give every spool with something in it the name of its attempt's log, and remove those of the dead."""
    for path in _folder(log_dir).glob("*.out"):
        with contextlib.suppress(OSError, ValueError):
            over = _is_left(path.with_suffix(".key"))
            found = _attempt_of(path)
            if found is not None:
                _name(path, log_path(log_dir, *found), replace=False)
            if over:
                path.with_suffix(".key").unlink(missing_ok=True)
                path.unlink(missing_ok=True)


def _folder(log_dir: str) -> Path:
    return Path(f"{log_dir}.open")


def _attempt_of(path: Path) -> tuple[str, int] | None:
    """Return whose output a spool has, None where it has none.

    The key changes only after the spool was replaced, so it is that of the file which is still there then.
    """
    file = path.stat()
    key = path.with_suffix(".key").read_bytes() if file.st_size else b""
    named = _KEY.match(key)
    if named is None or path.stat().st_ino != file.st_ino:
        return None
    return named[1].decode(), int(named[2])


def _is_left(key: Path) -> bool:
    """Say whether the process that made it is gone, and all that it forked."""
    descriptor = os.open(key, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _name(spool: Path, log: Path, *, replace: bool = True) -> None:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(spool, log)
    except FileExistsError:
        if replace and not os.path.samefile(spool, log):
            log.unlink()
            os.link(spool, log)
