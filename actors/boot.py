"""Starts the actors, all at the same time, and stops them in order. Safe to call when
some or all run already."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import ray

from actors import names, roster
from actors.gateway import RayControlPlane
from actors.life import Fatal
from actors.ray_nodes import listed
from actors.stopped import LOOK_EVERY_S as STOPPED_LOOK_EVERY_S
from actors.stopped import StoppedWatch
from actors.supervisor import HUNG_S_MAX
from actors.waiting import Waiting
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import CreateUser, Order
from helix_ray.core.questions import GetUser
from helix_ray.ports import STARTING
from helix_ray.security.first_password import first_password
from helix_ray.security.passwords import hash_password
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

ADMIN = "admin"
STOP_S_MAX = 10.0
LOOK_EVERY_S = 0.05
ANSWER_S_MAX = 5.0
PASSWORD_BYTES = 12

Missing = dict[str, str]


def start(
    settings: Settings,
    head: str | None = None,
    *,
    all_nodes: bool = True,
    waiting: Waiting | None = None,
    nodes_come: Callable[[], None] = lambda: None,
) -> str | None:
    """Start the actors of actors/roster.py, and wait for them and for workers of the
    nodes; Ray must be connected.

    `head` is the Ray node whose machine has the data directory; by default the calling process's node.
    `all_nodes` waits for the workers of all live nodes; leave it off where nodes come and go, so that a
    broken node does not delay the others; `nodes_come` returns when all expected nodes have joined. `waiting`
    reports what is waited for and why; by default to the log.

    Returns the administrator's password when it was generated, to be shown once; None when it was given or
    the administrator exists. Raises BadPassword, TimeoutError with the missing parts when they give no
    reason, or Fatal when they can never start.
    """
    waiting = waiting or Waiting(log.info)
    given = first_password(settings, warn=False)
    # The cluster stores the arguments of actors, so they must not contain the password.
    settings = settings.without_password()
    head = head or ray.get_runtime_context().get_node_id()
    made = {name: roster.make(name, settings, head, first=True) for name in roster.CLASSES}
    asyncio.run(_wait_for(partial(_master_missing, made[names.MASTER]), waiting))
    password = asyncio.run(_ensure_admin(given, waiting))
    nodes_come()
    nodes = {node["NodeID"] for node in listed() if node["Alive"]} if all_nodes else {head}
    asyncio.run(_wait_for(partial(_rest_missing, made[names.SUPERVISOR], nodes), waiting))
    return password


async def _wait_for(ask: Callable[[], Awaitable[Missing]], waiting: Waiting) -> None:
    """Ask until no part is missing."""
    waiting.begin()
    while True:
        missing = Missing()
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            missing = await asyncio.wait_for(ask(), ANSWER_S_MAX)
            if not missing:
                return
        waiting.hear(missing)
        await asyncio.sleep(LOOK_EVERY_S)


async def _master_missing(master: Any) -> Missing:
    said = await master.health.remote()
    if said["fatal"]:
        raise Fatal(said["reason"])
    return {} if said["ready"] else {roster.PARTS[names.MASTER]: said["reason"]}


async def _rest_missing(supervisor: Any, nodes: set[str]) -> Missing:
    said = await supervisor.status.remote()
    if said["fatal"] is not None:
        raise Fatal(said["fatal"])
    missing: Missing = said["missing"]
    for node in nodes - set(said["nodes"]):
        missing[f"the worker of node {node[:12]}"] = said["waiting"].get(node, STARTING)
    return missing


class Watch:
    """Watches the supervisor; used once a second by the process that started everything."""

    def __init__(self, settings: Settings, head: str | None = None) -> None:
        self._settings = settings
        self._head = head or ray.get_runtime_context().get_node_id()
        self._pid: int | None = None
        self._heard_at = time.monotonic()
        self._stopped = StoppedWatch(settings.stopped_s_max)

    def look(self) -> None:
        """Start the supervisor where Ray has none, kill one that hangs; raises Fatal with a fatal reason."""
        try:
            said = self._ask(names.find(names.SUPERVISOR))
        except (ValueError, ray.exceptions.ActorDiedError):
            log.warning("the supervisor actor is gone; creating it again")
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                roster.make(names.SUPERVISOR, self._settings, self._head)
        except ray.exceptions.RayError:
            hung = time.monotonic() - self._heard_at > HUNG_S_MAX
            if hung:
                self._end("does not respond")
        else:
            self._pid, self._heard_at = said["pid"], time.monotonic()
            if said["fatal"] is not None:
                raise Fatal(said["fatal"])

    def _ask(self, supervisor: Any) -> dict[str, Any]:
        answer = supervisor.status.remote()
        give_up = time.monotonic() + ANSWER_S_MAX
        while not ray.wait([answer], timeout=STOPPED_LOOK_EVERY_S)[0] and time.monotonic() < give_up:
            if self._pid is not None and self._stopped.look([self._pid], time.monotonic()):
                self._end("is stopped")
        said: dict[str, Any] = ray.get(answer, timeout=0)
        return said

    def _end(self, why: str) -> None:
        if self._pid is not None and roster.end(names.SUPERVISOR, self._pid):
            log.error("the supervisor %s; killing process %d", why, self._pid)
            self._pid = None


async def _ensure_admin(given: str | None, waiting: Waiting) -> str | None:
    waiting.begin()
    async with contextlib.aclosing(RayControlPlane()) as plane:
        while True:
            try:
                return await _make_admin(plane, given)
            except Refused as refused:
                if refused.rejected.code is not ErrorCode.SERVICE_UNAVAILABLE:
                    raise
                waiting.hear({roster.PARTS[names.MASTER]: refused.rejected.message})
            await asyncio.sleep(LOOK_EVERY_S)


async def _make_admin(plane: RayControlPlane, given: str | None) -> str | None:
    known = await plane.query(GetUser(username=ADMIN), SYSTEM)
    if not isinstance(known, Rejected):
        return None
    made = secrets.token_urlsafe(PASSWORD_BYTES) if given is None else None
    order = CreateUser(ADMIN, hash_password(given or str(made)), ("admin",), only_if_missing=True)
    answer = await plane.execute(Order(order, SYSTEM, "req-boot", new_seed()))
    if isinstance(answer, Rejected):
        raise Refused(answer)
    return made


def stop() -> None:
    """Stop the actors: workers first and in parallel, the master last, so that it records their last reports.

    The supervisor stops watching first and ends last, because requests under way need their rate limits.
    """
    prefix = names.node_worker("")
    found = [
        actor["name"]
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if actor["namespace"] == names.NAMESPACE
    ]
    workers = [name for name in found if name.startswith(prefix)]
    if names.SUPERVISOR in found:
        _stop(names.SUPERVISOR)
    synced = [name for name in found if name.startswith(names.SYNC_DEVICES)]
    for step in ([*workers, names.HISTORIAN, names.NOTIFIER, *synced], [names.MASTER], [names.SUPERVISOR]):
        with ThreadPoolExecutor(len(step)) as threads:
            list(threads.map(_end, [name for name in step if name in found]))


def _stop(name: str) -> None:
    with contextlib.suppress(ValueError, ray.exceptions.RayError):
        ray.get(names.find(name).stop.remote(), timeout=STOP_S_MAX)


def _end(name: str) -> None:
    _stop(name)
    with contextlib.suppress(ValueError, ray.exceptions.RayError):
        ray.kill(names.find(name), no_restart=True)
