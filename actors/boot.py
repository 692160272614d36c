"""Brings the actors up in their order, and down again. Safe to call where some or all are there already."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Any

import ray

from actors import names
from actors.gateway import RayControlPlane
from actors.historian import Historian
from actors.lender import LenderActor
from actors.life import Fatal, LivingActor
from actors.master import Master
from actors.reconciler import Reconciler
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import CreateUser, Order
from helix_ray.core.questions import GetUser
from helix_ray.security.first_password import first_password
from helix_ray.security.passwords import hash_password
from helix_ray.wire.ids import new_seed

ADMIN = "admin"
START_S_MAX = 60.0
STOP_S_MAX = 10.0
LOOK_EVERY_S = 0.02
PASSWORD_BYTES = 12

ACTORS: dict[str, type[LivingActor]] = {
    names.MASTER: Master,
    names.LENDER: LenderActor,
    names.HISTORIAN: Historian,
    names.RECONCILER: Reconciler,
}


def start(settings: Settings, head: str | None = None, *, all_nodes: bool = True) -> str | None:
    """Start master, lender, historian, reconciler and a worker on every node; Ray must be connected.

    `head` is the Ray node whose machine has the data directory; the calling process's own where it is not given.
    `all_nodes` waits for the workers of all nodes that are alive now; where nodes come and go, one that does not get
    ready must not keep the rest from serving.

    Returns the administrator's password when it was made here, to be shown once; None when it was given or the
    administrator exists. Raises BadPassword, TimeoutError when the actors do not come up, Fatal when they never will.
    """
    given = first_password(settings)
    # What actors get is kept by the cluster, so the password stays out.
    settings = settings.without_password()
    head = head or ray.get_runtime_context().get_node_id()
    master, lender, historian, reconciler = (
        ray.remote(actor).options(**names.detached(name, head)).remote(settings)
        for name, actor in ACTORS.items()
    )
    _wait_until_ready([master])
    password = asyncio.run(_ensure_admin(given))
    _wait_until_ready([lender, historian, reconciler])
    _wait_for_nodes(reconciler, None if all_nodes else {head})
    return password


def _wait_until_ready(actors: list[Any]) -> None:
    """Wait until they live; raises Fatal for a reason that stays, TimeoutError with the last reason otherwise."""

    async def wait(actor: Any) -> None:
        said: dict[str, Any] = {"ready": False, "reason": None, "fatal": False}
        end = time.monotonic() + START_S_MAX
        while not said["ready"]:
            with contextlib.suppress(ray.exceptions.RayError):
                said = await asyncio.wait_for(actor.health.remote(), START_S_MAX)
            if said["fatal"]:
                raise Fatal(said["reason"])
            if time.monotonic() > end:
                raise TimeoutError(said["reason"])
            await asyncio.sleep(LOOK_EVERY_S)

    async def all_of_them() -> None:
        await asyncio.gather(*(wait(actor) for actor in actors))

    asyncio.run(all_of_them())


def _wait_for_nodes(reconciler: Any, nodes: set[str] | None) -> None:
    """Wait until these nodes, or all that are alive now, have their workers."""

    async def wait() -> None:
        listed: list[dict[str, Any]] = ray.nodes()
        wanted = nodes or {node["NodeID"] for node in listed if node["Alive"]}
        async with asyncio.timeout(START_S_MAX):
            while not wanted <= set(await reconciler.nodes.remote()):
                await asyncio.sleep(0.1)

    asyncio.run(wait())


async def _ensure_admin(given: str | None) -> str | None:
    async with contextlib.aclosing(RayControlPlane()) as plane:
        return await _make_admin(plane, given)


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
    """End the actors: workers first, the master last, so that what they still report is kept."""
    prefix = names.node_worker("")
    found = [
        actor["name"]
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if actor["namespace"] == names.NAMESPACE
    ]
    workers = [name for name in found if name.startswith(prefix)]
    for name in (names.RECONCILER, *workers, names.HISTORIAN, names.MASTER):
        if name in found:
            _stop(name)
    if names.LENDER in found:
        with contextlib.suppress(ValueError):
            ray.kill(names.find(names.LENDER), no_restart=True)


def _stop(name: str) -> None:
    with contextlib.suppress(ValueError, ray.exceptions.RayError):
        handle = names.find(name)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(handle.stop.remote(), timeout=STOP_S_MAX)
        ray.kill(handle, no_restart=True)
