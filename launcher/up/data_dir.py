"""The data directory as `helix up` sees it: one instance at a time, and a state file that names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from launcher.up.holding import Holder, Holding

LOG_FILE = "up.log"
TOKEN_FILE = "ray.token"
RAY_LOGS = "ray-logs"


class DataDirBusy(Exception):
    """Another `helix up` holds the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance(Holder):
    """The instance that runs on a data directory; `url` and `ray_address` are None until it is ready."""

    id: str
    host: str
    port: int
    url: str | None = None
    ray_address: str | None = None


DATA_DIR = Holding("up.lock", "up.json", Instance)


def ours(data_dir: Path, marker: str) -> Instance | None:
    """Return the instance with this id; None where the directory is another one's by now."""
    found = DATA_DIR.read(data_dir)
    return found if found is not None and found.id == marker else None


def take(data_dir: Path) -> int:
    """Lock the data directory; return the lock's file descriptor. The lock is released when both front and
    keeper have ended.

    Raises DataDirBusy naming the holder, OSError where the directory cannot be used.
    """
    handle = DATA_DIR.lock(data_dir)
    if handle is None:
        instance = DATA_DIR.read(data_dir)
        holder = f"pid {instance.pid}" if instance else "its pid is not yet known"
        raise DataDirBusy(
            f"helix up is already running on {data_dir} ({holder}); stop it with: helix down "
            f"--data-dir {data_dir}"
        )
    return handle
