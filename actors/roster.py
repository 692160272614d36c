"""The actors of the head, and how to start each. The supervisor watches the others; the process that started
everything watches the supervisor.

A class is imported when its actor is started: the supervisor does not need DuckDB
while the historian is alive.
"""

from __future__ import annotations

import contextlib
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import ray

from actors import names
from helix_ray.config import Settings

# Always there, in the order of the start.
CLASSES = {
    names.MASTER: "actors.master:Master",
    names.SUPERVISOR: "actors.supervisor:Supervisor",
    names.HISTORIAN: "actors.historian:Historian",
}
# Their names in the answers of /readyz.
PARTS = {names.MASTER: "master", names.HISTORIAN: "history", names.SUPERVISOR: "supervisor"}
# Made by the supervisor when the first device is enrolled: most clusters have none, and pay nothing for them.
SYNC_CLASS = "actors.sync_devices:SyncDevices"
SYNC = "sync"
# Made by the supervisor when the first webhook is created (ADR 77).
ON_DEMAND = {names.NOTIFIER: "actors.notifier:Notifier"}
WEBHOOKS = "webhooks"
# The second service in the supervisor's process, see actors/quota_server.py.
RATE_LIMITS = "rate_limits"
TITLE = "ray::"


def class_of(name: str) -> str:
    """Return the class of an actor, as `module:class`."""
    return SYNC_CLASS if name.startswith(names.SYNC_DEVICES) else (CLASSES | ON_DEMAND)[name]


def part_of(name: str) -> str:
    """Return the name of an actor in the answers of /readyz."""
    return SYNC if name.startswith(names.SYNC_DEVICES) else (PARTS | {names.NOTIFIER: WEBHOOKS})[name]


def sync_actors(settings: Settings) -> list[str]:
    """Return the names of all SyncDevices actors."""
    return [names.sync_devices(shard) for shard in range(settings.sync_shards)]


def make(name: str, settings: Settings, head: str, *, first: bool = False) -> Any:
    """Return the handle of an actor on the head node; start it where Ray has none or has given it up.

    `first` is for the start of a cluster: only then may the master create a journal.
    """
    module, _, cls = class_of(name).partition(":")
    actor: Any = ray.remote(getattr(import_module(module), cls))
    more: dict[str, Any] = {"first": first} if name == names.MASTER else {}
    if name == names.SUPERVISOR:
        more = {"head": head}
    if name.startswith(names.SYNC_DEVICES):
        more = {"shard": int(name.removeprefix(names.SYNC_DEVICES))}
    return actor.options(**names.detached(name, head)).remote(settings.without_password(), **more)


def end(name: str, pid: int) -> bool:
    """Kill the process of an actor on this host, so that Ray restarts it; say whether it existed.

    The caller may be on another host than the actor, where the process id means nothing.
    """
    title = f"{TITLE}{class_of(name).partition(':')[2]}"
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
            os.kill(pid, signal.SIGKILL)
            return True
    return False
