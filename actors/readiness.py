"""Checks all parts that a request needs at the same time; parts that do not respond, or
report a reason, are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ray.exceptions import RayError

from actors import names, roster
from actors.life import NO_ANSWER
from helix_ray.core.errors import Rejected
from helix_ray.core.views.workers import WorkersView

# Less than the time limit of /readyz, which must still report the missing parts.
ANSWER_S_MAX = 0.8
KEEP_S = 0.25
WORKERS = "node_workers"

ListThem = Callable[[], Awaitable[WorkersView | Rejected]]


class Readings:
    """Checks at most once in KEEP_S, however many requests come: /readyz is open to everybody."""

    def __init__(self, list_workers: ListThem) -> None:
        self._list_workers = list_workers
        self._reading: asyncio.Task[dict[str, str]] | None = None
        self._read_at = -KEEP_S

    async def missing(self) -> dict[str, str]:
        """Return the parts that are missing with their reasons; empty when requests are served."""
        now = asyncio.get_running_loop().time()
        if self._reading is None or (self._reading.done() and now - self._read_at > KEEP_S):
            self._reading = asyncio.get_running_loop().create_task(self._read())
        # A caller that gives up must not cancel the check for the others.
        return await asyncio.shield(self._reading)

    async def _read(self) -> dict[str, str]:
        parts = {part: _actor(name) for name, part in roster.PARTS.items()}
        parts[roster.RATE_LIMITS] = _rate_limits()
        parts[roster.SYNC] = _sync()
        parts[WORKERS] = _workers(self._list_workers)
        reasons = await asyncio.gather(*(_in_time(ask) for ask in parts.values()))
        self._read_at = asyncio.get_running_loop().time()
        return {part: reason for part, reason in zip(parts, reasons, strict=True) if reason is not None}


async def _in_time(ask: Awaitable[str | None]) -> str | None:
    try:
        return await asyncio.wait_for(ask, ANSWER_S_MAX)
    except (TimeoutError, RayError):
        return NO_ANSWER
    except ValueError:
        return "it does not exist"


async def _actor(name: str) -> str | None:
    handle = await asyncio.to_thread(names.find, name)
    reason: str | None = (await handle.health.remote())["reason"]
    return reason


async def _rate_limits() -> str | None:
    handle = await asyncio.to_thread(names.find, names.SUPERVISOR)
    reason: str | None = await handle.rate_limits_hindrance.remote()
    return reason


async def _sync() -> str | None:
    handle = await asyncio.to_thread(names.find, names.SUPERVISOR)
    reason: str | None = await handle.sync_hindrance.remote()
    return reason


async def _workers(list_workers: ListThem) -> str | None:
    answer = await list_workers()
    if isinstance(answer, Rejected):
        return answer.message
    if any(worker["kind"] == "node" and worker["status"] != "lost" for worker in answer["workers"]):
        return None
    return "no node worker sends heartbeats"
