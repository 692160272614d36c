"""Looks names up, in threads of its own: a name server that hangs delays nobody else.

The system's resolver takes up to tens of seconds for a name whose server does not answer, and cannot be
cancelled. So names are looked up in three queues: those whose last lookup was quick, those of which that is
not known, and those whose last one failed after a while. Hundreds that hang wait for each other.
"""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from helix_ray.outward.addresses import Address, address_of
from helix_ray.outward.outcome import DNS, PostFailed

# Threads of each queue, which begin when they are needed. A name is looked up once at a time, however many
# wait for it.
LOOKUPS_MAX: Final = {"quick": 64, "unknown": 512, "hanging": 32}
QUICK_S: Final = 1.0
# Of so many names it is known how long their lookups take.
NAMES_KNOWN_MAX: Final = 10_000


class Resolver:
    """Looks names up at each request; nothing of the answers is kept."""

    def __init__(self) -> None:
        self.quick_s = QUICK_S
        self._threads = {
            queue: ThreadPoolExecutor(most, thread_name_prefix=f"resolver-{queue}")
            for queue, most in LOOKUPS_MAX.items()
        }
        self._queues: dict[str, str] = {}
        self._running: dict[tuple[str, int], Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return all addresses of a name, in the system's order; raises PostFailed."""
        key = (host, port)
        running = self._running.get(key)
        if running is None:
            threads = self._threads[self._queues.get(host, "unknown")]
            running = self._running[key] = threads.submit(self._look_up, host, port)
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(asyncio.wrap_future(running))

    def close(self) -> None:
        """Begin no other lookups; those that run end by themselves."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, host: str, port: int) -> list[Address]:
        began = time.monotonic()
        queue = "hanging"
        try:
            found = looked_up(host, port)
            queue = "unknown"
            return found
        finally:
            if len(self._queues) >= NAMES_KNOWN_MAX:
                self._queues.clear()
            self._queues[host] = "quick" if time.monotonic() - began < self.quick_s else queue


def looked_up(host: str, port: int) -> list[Address]:
    """Ask the system for the addresses of a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(address_of(str(address[0])) for *_, address in found))
    except (OSError, UnicodeError) as error:
        raise PostFailed(DNS, f"The name {host} cannot be looked up: {_why(error)}") from None
    if not addresses:
        raise PostFailed(DNS, f"The name {host} has no address")
    return addresses


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
