"""A folder that one process locks at a time, and a file in it that names the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import orjson

from helix_ray.private import make_file
from launcher.up import process_tree

LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has locked a folder, distinguished from a later process with the same id."""

    pid: int
    start_ticks: int

    def runs(self) -> bool:
        """Say whether that process still runs."""
        return process_tree.start_time(self.pid) == self.start_ticks


H = TypeVar("H", bound=Holder)


@dataclass(frozen=True, slots=True)
class Holding(Generic[H]):
    """The names of a lock file and a state file, and the content of the state file."""

    lock_file: str
    state_file: str
    holder: type[H]

    def lock(self, folder: Path) -> int | None:
        """Take the lock, in a folder made with mode 0700 where it is missing; None while another process has
        it.

        A process that inherits the file descriptor keeps the lock as well. Raises OSError where the folder
        cannot be used.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def wait_until_free(self, folder: Path, seconds: float) -> bool:
        """Wait until the lock is free, and remove a state file that is left; False when it is not free after
        `seconds`."""
        give_up = time.monotonic() + seconds
        while (handle := self.lock(folder)) is None:
            if time.monotonic() > give_up:
                return False
            select.select([], [], [], LOOK_EVERY_S)
        self.forget(folder, handle)
        os.close(handle)
        return True

    def read(self, folder: Path) -> H | None:
        """Return the process that the state file names, or None."""
        try:
            found: dict[str, Any] = orjson.loads((folder / self.state_file).read_bytes())
            return self.holder(**found)
        except (OSError, TypeError, orjson.JSONDecodeError):
            return None

    def write(self, folder: Path, holder: H) -> None:
        """Write the state file atomically, readable by its owner only."""
        draft = folder / f".{self.state_file}"
        make_file(draft)
        draft.write_bytes(orjson.dumps(asdict(holder)) + b"\n")
        draft.replace(folder / self.state_file)

    def forget(self, folder: Path, lock: int) -> None:
        """Remove the state file, where `lock` is still the lock of the folder.

        Where the folder was removed meanwhile, another process may have locked one of the same path: the
        file there is its own.
        """
        with contextlib.suppress(OSError), _opened(folder) as place:
            if os.path.samestat(os.fstat(lock), os.stat(self.lock_file, dir_fd=place)):
                os.unlink(self.state_file, dir_fd=place)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder, so that its files are those of one folder whatever takes its path."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield place
    finally:
        os.close(place)


class Process(TypedDict):
    """The fields of a Holder."""

    pid: int
    start_ticks: int


def this_process() -> Process:
    """Return the fields that identify this process."""
    ticks = process_tree.start_time(os.getpid())
    assert ticks is not None
    return {"pid": os.getpid(), "start_ticks": ticks}
