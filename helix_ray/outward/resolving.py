"""Looks names up, in threads of its own: a name server that hangs delays nobody else."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from helix_ray.outward.addresses import Address, address_of
from helix_ray.outward.outcome import DNS, PostFailed

# The system's resolver cannot be cancelled; a name is looked up once at a time, however many wait for it.
LOOKUPS_MAX: Final = 64


class Resolver:
    """Looks names up at each request; nothing is kept."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="resolver")
        self._running: dict[tuple[str, int], Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return all addresses of a name, in the system's order; raises PostFailed."""
        key = (host, port)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = self._threads.submit(looked_up, host, port)
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(asyncio.wrap_future(running))

    def close(self) -> None:
        """Begin no other lookups; those that run end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
