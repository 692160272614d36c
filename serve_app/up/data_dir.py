"""The data directory as `helix up` sees it: one instance at a time, and a state file that says which."""

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

LOCK_FILE = "up.lock"
STATE_FILE = "up.json"
LOG_FILE = "up.log"
TOKEN_FILE = "ray.token"
RAY_LOGS = "ray-logs"


class DataDirBusy(Exception):
    """Another `helix up` holds the data directory."""


@dataclass(frozen=True, slots=True)
class State:
    """What runs on a data directory; `url` and `ray_address` are None until it is ready."""

    id: str
    pid: int
    start_ticks: int
    host: str
    port: int
    url: str | None = None
    ray_address: str | None = None

    def runs(self) -> bool:
        """Say whether the process that wrote this is still that process."""
        return process_tree.start_time(self.pid) == self.start_ticks


def lock(data_dir: Path) -> int:
    """Take the data directory, made with mode 0700 where missing; return the lock's file descriptor.

    Whoever inherits the descriptor holds the lock too: it is free only when front and keeper have both ended.
    Raises DataDirBusy naming the holder, OSError where the directory cannot be used.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        state = read(data_dir)
        holder = f"pid {state.pid}" if state else "its pid is not known yet"
        raise DataDirBusy(
            f"helix up already runs on {data_dir} ({holder}); end it with: helix down --data-dir {data_dir}"
        ) from None
    return handle


def wait_until_free(data_dir: Path, seconds: float) -> bool:
    """Wait until nobody holds the data directory; False when somebody still does after `seconds`."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            os.close(lock(data_dir))
        except DataDirBusy:
            if time.monotonic() > give_up:
                return False
            select.select([], [], [], 0.05)
        else:
            return True


def read(data_dir: Path) -> State | None:
    """Return what the state file says, or None where there is none."""
    try:
        found: dict[str, Any] = orjson.loads((data_dir / STATE_FILE).read_bytes())
        return State(**found)
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


def write(data_dir: Path, state: State) -> None:
    """Put the state file in place, whole or not at all."""
    draft = data_dir / f".{STATE_FILE}"
    draft.write_bytes(orjson.dumps(asdict(state)) + b"\n")
    draft.chmod(0o600)
    draft.replace(data_dir / STATE_FILE)


def forget(data_dir: Path) -> None:
    """Remove the state file."""
    with contextlib.suppress(OSError):
        (data_dir / STATE_FILE).unlink()
