"""The node's files in its data directory: a lock that its supervisor holds, and who that is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from serve_app.up import process_tree

LOCK_FILE = "node.lock"
STATE_FILE = "node.json"
LOG_FILE = "node.log"
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor that runs here, and the arguments it was started with."""

    pid: int
    start_ticks: int
    arguments: list[str]

    def runs(self) -> bool:
        """Say whether the process that wrote this is still that process."""
        return process_tree.start_time(self.pid) == self.start_ticks


def lock(data_dir: Path) -> int | None:
    """Take the lock, in a directory made with mode 0700 where missing; None while somebody holds it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def wait_until_free(data_dir: Path, seconds: float) -> bool:
    """Wait until nobody holds the lock; False when somebody still does after `seconds`."""
    give_up = time.monotonic() + seconds
    while (handle := lock(data_dir)) is None:
        if time.monotonic() > give_up:
            return False
        select.select([], [], [], LOOK_EVERY_S)
    os.close(handle)
    return True


def read(data_dir: Path) -> State | None:
    """Return who is said to run here, or None."""
    try:
        found: dict[str, Any] = orjson.loads((data_dir / STATE_FILE).read_bytes())
        return State(**found)
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


def write(data_dir: Path, arguments: list[str]) -> None:
    """Say that this process runs here."""
    ticks = process_tree.start_time(os.getpid())
    assert ticks is not None
    draft = data_dir / f".{STATE_FILE}"
    draft.write_bytes(orjson.dumps(asdict(State(os.getpid(), ticks, arguments))) + b"\n")
    draft.replace(data_dir / STATE_FILE)


def forget(data_dir: Path) -> None:
    """Say that nobody does."""
    with contextlib.suppress(OSError):
        (data_dir / STATE_FILE).unlink()
