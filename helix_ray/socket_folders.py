"""Folders of Unix sockets: those of a user are all in one folder, which is private to that user.

Commands in cells must not reach these sockets, whatever folder they are shown. So there is one path to hide,
`folder_of_all`, however many servers were killed and have left their own (execution/starter/bubblewrap.py).

A folder is locked as long as the process that made it lives, or one that it forked. Whoever makes the next
one removes those that are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helix_ray.private import OTHERS


class SocketFolder:
    """A folder of this process, at `path`; raises OSError where it cannot be made."""

    def __init__(self, name: str, temporary: str | None = None) -> None:
        above = folder_of_all(temporary or tempfile.gettempdir())
        above.mkdir(mode=0o700, exist_ok=True)
        _check(above)
        with _locked(above):
            # Under the lock, so that nobody takes one for left that is not locked yet.
            _remove_left(above)
            self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=above))
            self._lock = _open(self.path)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove it with all that is below; safe to call twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def folder_of_all(temporary: str) -> Path:
    """Return the folder that has all of this user's, below a folder of temporary files."""
    return Path(temporary, f"helix-{os.geteuid()}")


def _check(folder: Path) -> None:
    """Raise PermissionError unless a folder, which anybody could have made before us, is ours alone."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS:
        raise PermissionError(f"{folder} must be a folder of this user alone (mode 0700): remove it")


def _remove_left(above: Path) -> None:
    for folder in above.iterdir():
        with contextlib.suppress(OSError), _locked(folder, fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Hold the lock of a folder; raises BlockingIOError where another process does and `how` is LOCK_NB."""
    lock = _open(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(lock)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
