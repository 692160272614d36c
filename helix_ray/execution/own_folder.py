"""The working directory of functions: empty when each begins, and kept under the name of its attempt where
something was left in it (ADR 81)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from pathlib import Path

from helix_ray.execution.environment import ATTEMPT_DIR
from helix_ray.execution.starter.folders import folder_path
from helix_ray.execution.starter.sweeping import remove_folder

NOWHERE = "/"

# <sys/inotify.h>; the flags of inotify_init1 are those of open.
_ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x04, 0x40, 0x80, 0x100, 0x200
_libc = ctypes.CDLL(None)


class OwnFolder:
    """The folder of one executor, which the functions that it runs have one after another.

    `stay` leaves the process where it is, for one whose runtime environment has a `working_dir`. Where no
    folder can be made, on a full disk, functions run all the same, in the root folder.
    """

    def __init__(self, attempts: Path, executor_id: str, *, stay: bool = False) -> None:
        self._attempts = attempts
        self._above = executors_folder(attempts, executor_id)
        self._path = self._above / "here"
        self._stay = stay
        self._changes: FolderWatch | None = None
        os.environ[ATTEMPT_DIR] = str(self._path)
        remove_folder(self._above)
        self._make()

    def end(self, task_id: str, attempt: int) -> bool:
        """Keep what an attempt left; return whether the working directory is another one now."""
        if self._changes is not None and not self._changes.any():
            return False
        with contextlib.suppress(OSError):
            if self._path.is_dir() and not self._path.is_symlink():
                self._path.chmod(0o700)  # a closed one cannot be moved
                if any(self._path.iterdir()):
                    kept = folder_path(self._attempts, task_id, attempt)
                    remove_folder(kept)
                    self._path.rename(kept)
                else:
                    self._path.rmdir()
            else:
                self._path.unlink(missing_ok=True)
        self._make()
        return not self._stay

    def remove(self) -> None:
        """Remove it; call it when no attempt runs."""
        os.chdir(NOWHERE)
        remove_folder(self._above)

    def _make(self) -> None:
        if self._changes is not None:
            self._changes.close()
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._changes = FolderWatch.of(self._path)
            place = str(self._path)
        except OSError:
            self._changes, place = None, NOWHERE
        if not self._stay:
            os.chdir(place)


class FolderWatch:
    """Whether anything was made in a folder, or done to it: one system call; a look into it has five."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    @classmethod
    def of(cls, folder: Path) -> FolderWatch | None:
        """Watch a folder from now on; None where the user has too many watches (fs.inotify)."""
        descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if descriptor < 0:
            return None
        watched = ((folder, _ATTRIB | _MOVED_TO | _CREATE), (folder.parent, _MOVED_FROM | _DELETE))
        for path, events in watched:
            if _libc.inotify_add_watch(descriptor, os.fsencode(path), events) < 0:
                os.close(descriptor)
                return None
        return cls(descriptor)

    def any(self) -> bool:
        """Say whether something has happened, or cannot be known: a function may close any descriptor."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Stop watching."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def executors_folder(attempts: Path, executor_id: str) -> Path:
    """Return the folder of an executor, by the folder of its node's ended attempts."""
    return functions_folder(attempts) / executor_id


def functions_folder(attempts: Path) -> Path:
    """Return the folder of what executors that live have."""
    return attempts.parent / "functions"
