"""What must live on the head, and how each is made: the supervisor sees to the others, whoever
started all sees to it.

Classes are imported where one is made: the supervisor needs no DuckDB as long as the historian lives.
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

# In the order in which a start needs them.
CLASSES = {
    names.MASTER: "actors.master:Master",
    names.SUPERVISOR: "actors.supervisor:Supervisor",
    names.HISTORIAN: "actors.historian:Historian",
}
# What each is to a request, in the words of /readyz.
PARTS = {names.MASTER: "master", names.HISTORIAN: "history", names.SUPERVISOR: "supervisor"}
# What the supervisor's process does beside looking: see actors/quota_server.py.
RATE_LIMITS = "rate_limits"
TITLE = "ray::"


def make(name: str, settings: Settings, head: str, *, first: bool = False) -> Any:
    """Return the handle of an actor of the head node, made where Ray has none or has given it up.

    `first` is for the start of a cluster: only then the master may make a journal where there is none.
    """
    module, _, cls = CLASSES[name].partition(":")
    actor: Any = ray.remote(getattr(import_module(module), cls))
    more: dict[str, Any] = {"first": first} if name == names.MASTER else {}
    if name == names.SUPERVISOR:
        more = {"head": head}
    return actor.options(**names.detached(name, head)).remote(settings.without_password(), **more)


def end(name: str, pid: int) -> bool:
    """Kill the process of one of these actors on this host, for Ray to start it again;
    say whether it was there.

    Whoever asks may be on another host than the actor, where the process id is somebody else's or nobody's.
    """
    title = f"{TITLE}{CLASSES[name].partition(':')[2]}"
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
            os.kill(pid, signal.SIGKILL)
            return True
    return False
