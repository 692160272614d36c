"""The supervisor: keeps the actors of the head alive, and starts again what Ray has given up.

Ray restarts an actor whose process ended. But an actor whose constructor raised, or that was killed without
restart, stays dead and loses its name, and an actor that hangs stays so. The supervisor asks each actor of
actors/roster.py for its health once a second and keeps the answers; actors/node_care.py has the node workers.
The supervisor itself is watched by the process that started it (actors/boot.py: Watch).

A silent actor may be busy, so it has a minute; a stopped one is not, and has seconds (actors/stopped.py).

Rate limits are counted in the same process (actors/quota_server.py): the supervisor mostly waits, so a
separate process would cost 50 MiB and gain nothing. The store of blobs for nodes (actors/blob_store.py) is
there for the same reason; it reads and writes files on threads. Each of the three starts without the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import ray

from actors import names, roster
from actors.blob_store import BlobCalls, BlobService
from actors.blob_sweep import sweep_blobs
from actors.gateway import RayControlPlane
from actors.life import NO_ANSWER, Work
from actors.quota_server import QuotaService
from actors.ray_seams import process_of
from actors.stopped import LOOK_EVERY_S, StoppedWatch
from helix_ray.blobs.places import head_store
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.limits import Ask, TokenLease, UnspentUnits
from helix_ray.core.orders import ForgetDatasets, Order
from helix_ray.core.questions import Counts, NamedFiles
from helix_ray.core.views.models import NamedFilesView
from helix_ray.ports import STARTING, NotReady
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

FIRST_S = 0.1
HEALTH_S_MAX = 2.0
# An actor that is silent for this long hangs: no turn of a loop takes as long. It is long enough that a stall
# of some seconds kills nothing.
HUNG_S_MAX = 60.0
RESTARTING = "it has ended and is starting again"


class Supervisor(BlobCalls):
    """Checks every actor of the head, and every node, once a second."""

    def __init__(self, settings: Settings, head: str) -> None:
        self._settings = settings
        self._head = head
        self._others = [name for name in roster.CLASSES if name != names.SUPERVISOR]
        self._said: dict[str, dict[str, Any]] = {}
        self._heard_at: dict[str, float] = {}
        # Handles of actors that have responded; a restarted actor keeps its handle.
        self._handles: dict[str, Any] = {}
        # Processes of actors that have never responded to this one: they may have been stopped before.
        self._silent: dict[str, int] = {}
        self._quota_service = QuotaService(settings)
        self._blob_service = BlobService(head_store(settings))
        self._stopped = StoppedWatch(settings.stopped_s_max)
        super().__init__()

    async def opening(self) -> None:
        """Connect to the master, and import the classes of node workers, which only this process starts."""
        from actors.node_care import NodeCare

        self._plane = RayControlPlane(process="supervisor")
        self._care = NodeCare(self._settings, self._plane)

    def loops(self) -> Sequence[Work]:
        """The loops that check the actors, their processes, and the nodes, that remove files which nothing
        names, and that wait for the first device and webhook; independent of each other."""
        looks = (self._look, self._look_at_processes, self._look_at_nodes)
        return (*looks, self._sweep_blobs, self._look_for_firsts)

    async def begin(self) -> None:
        """Begin all lives: the actor calls this itself at every start."""
        self._quota_service.begin()
        self._blob_service.life.begin()
        await super().begin()

    async def grant(self, asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> list[TokenLease] | NotReady:
        """Grant token leases for rate limits, see actors/quota_server.py."""
        return await self._quota_service.grant(asks, backs)

    async def rate_limits_hindrance(self) -> str | None:
        """Return why rate limits cannot be counted; None when they can."""
        return self._quota_service.hindrance()

    async def sync_hindrance(self) -> str | None:
        """Return why devices cannot be answered; None when they can, or there are none."""
        for name in self._others:
            said = self._said.get(name, {"reason": STARTING})
            if name.startswith(names.SYNC_DEVICES) and said["reason"] is not None:
                return str(said["reason"])
        return None

    async def status(self) -> dict[str, Any]:
        """Return the reasons of missing parts as in /readyz; a fatal reason or None; the nodes with workers,
        and why others wait for theirs."""
        lives = self._life.lives
        missing = {
            roster.part_of(name): said["reason"]
            for name in self._others
            if not (said := self._said.get(name, {"ready": False, "reason": STARTING}))["ready"]
        }
        if (hindrance := self._quota_service.hindrance()) is not None:
            missing[roster.RATE_LIMITS] = hindrance
        fatal = next((said["reason"] for said in self._said.values() if said["fatal"]), None)
        nodes, waiting = (self._care.registered(), self._care.waiting()) if lives else ([], {})
        return {
            "pid": os.getpid(),
            "missing": missing,
            "fatal": fatal,
            "nodes": nodes,
            "waiting": waiting,
        }

    async def stop(self) -> None:
        """Stop checking; the actors stay, and rate limits are counted as long as the process lives."""
        lived = self._life.lives
        self._life.stop()
        if lived:
            self._care.stop()

    # ------------------------------------------------------------------------------------------ looking

    async def _look(self) -> None:
        await asyncio.gather(*(self._look_at(name) for name in self._others))
        # More often while a part is missing, because somebody waits for the start.
        steady = all(self._said.get(name, {"ready": False})["ready"] for name in self._others)
        await asyncio.sleep(LOOK_EVERY_S if steady else FIRST_S)

    async def _look_at_processes(self) -> None:
        pids = {said["pid"]: name for name, said in self._said.items() if said.get("pid") is not None}
        pids |= {pid: name for name, pid in self._silent.items()}
        for pid in self._stopped.look(pids, time.monotonic()):
            self._end(pids[pid], pid, "has been stopped", self._settings.stopped_s_max)
        await asyncio.sleep(LOOK_EVERY_S)

    async def _look_for_firsts(self) -> None:
        """Have SyncDevices actors from the first device on, and a notifier from the first webhook on."""
        await asyncio.sleep(LOOK_EVERY_S)
        sync = roster.sync_actors(self._settings) if self._settings.sync_enabled else []
        missing = {*sync, names.NOTIFIER}.difference(self._others)
        if not missing:
            return
        counts = await self._plane.query(Counts(), SYSTEM)
        if isinstance(counts, Rejected):
            return
        wanted = [*(sync if counts["devices"] else ()), *([names.NOTIFIER] if counts["webhooks"] else ())]
        self._others += [name for name in wanted if name in missing]

    async def _look_at_nodes(self) -> None:
        await self._care.look()

    async def _sweep_blobs(self) -> None:
        store, keep_s = head_store(self._settings), self._settings.blobs_keep_s
        await sweep_blobs(store, self._named_files, self._forget_datasets, keep_s)

    async def _named_files(self) -> NamedFilesView | None:
        answer = await self._plane.query(NamedFiles(), SYSTEM)
        return None if isinstance(answer, Rejected) else answer

    async def _forget_datasets(self, digests: Sequence[str], before: float) -> None:
        order = ForgetDatasets(tuple(digests), before)
        await self._plane.execute(Order(order, SYSTEM, "req-supervisor", new_seed()))

    async def _look_at(self, name: str) -> None:
        now = time.monotonic()
        self._heard_at.setdefault(name, now)
        handle: Any = self._handles.get(name)
        try:
            if handle is None:
                # On a thread: looking up a name blocks on the GCS, and rate limits are counted on this loop.
                handle = await asyncio.to_thread(names.find, name)
            said: dict[str, Any] = await asyncio.wait_for(handle.health.remote(), HEALTH_S_MAX)
        except (ValueError, ray.exceptions.ActorDiedError):
            self._handles.pop(name, None)
            await self._make(name)
        except (ray.exceptions.RayError, TimeoutError):
            # The pid is not known yet: the process is starting.
            reason = NO_ANSWER if self._said.get(name, {}).get("pid") else STARTING
            self._note(name, {"ready": False, "reason": reason, "fatal": False})
            if reason == STARTING and handle is not None:
                await self._find_process(name, handle)
            if now - self._heard_at[name] > HUNG_S_MAX:
                self._end(name, self._said[name].get("pid"), "has not responded", HUNG_S_MAX)
                self._heard_at[name] = now
        else:
            self._heard_at[name] = time.monotonic()
            self._handles[name] = handle
            self._silent.pop(name, None)
            self._note(name, said)

    async def _find_process(self, name: str, handle: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            pid = await asyncio.to_thread(process_of, handle)
            if pid is not None:
                self._silent[name] = pid

    def _note(self, name: str, said: dict[str, Any]) -> None:
        """Store an actor's answer; without one keep its last process id."""
        before = self._said.get(name, {})
        if said["reason"] != before.get("reason"):
            log.info("%s: %s", name, said["reason"] or "ready")
        self._said[name] = {"pid": before.get("pid"), **said}

    async def _make(self, name: str) -> None:
        reason = STARTING
        if name in self._said:
            log.warning("actor %s is gone; creating it again", name)
            reason = RESTARTING
        self._note(name, {"ready": False, "reason": reason, "fatal": False})
        try:
            await asyncio.to_thread(roster.make, name, self._settings, self._head)
        except (ray.exceptions.RayError, ValueError) as error:
            # The next check tries again: the GCS may be restarting, or the dead actor's name is not free yet.
            log.warning("cannot create %s: %s", name, error)

    def _end(self, name: str, pid: int | None, why: str, seconds: float) -> None:
        if pid is not None and roster.end(name, pid):
            log.error("%s %s for %g s; killing process %d", name, why, seconds, pid)
