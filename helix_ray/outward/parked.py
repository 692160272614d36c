"""Connections that are kept between requests: a bounded number, each for a bounded time."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import httpcore

from helix_ray.outward.addresses import Address

PARKED_MAX: Final = 512
PARKED_PER_PLACE_MAX: Final = 4
PARKED_S_MAX: Final = 30.0

# Scheme, host, port, address, and the authority that its certificate was checked against.
Key = tuple[str, str, int, Address, str | None]


class Parked:
    """Connections that wait for their next request, the oldest first."""

    def __init__(self) -> None:
        self._by_place: OrderedDict[Key, list[tuple[float, httpcore.AsyncHTTP11Connection]]] = OrderedDict()
        self._count = 0

    async def take(self, key: Key) -> httpcore.AsyncHTTP11Connection | None:
        """Return a connection that is still open; the one used last, so that the others may go."""
        rows = self._by_place.get(key)
        while rows:
            since, connection = rows.pop()
            self._count -= 1
            if not rows:
                del self._by_place[key]
            if time.monotonic() - since < PARKED_S_MAX and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def park(self, key: Key, connection: httpcore.AsyncHTTP11Connection) -> None:
        """Keep a connection; the places used longest ago make room."""
        rows = self._by_place.setdefault(key, [])
        self._by_place.move_to_end(key)
        rows.append((time.monotonic(), connection))
        self._count += 1
        if len(rows) > PARKED_PER_PLACE_MAX:
            await self._close_oldest(key)
        while self._count > PARKED_MAX or self._is_old():
            await self._close_oldest(next(iter(self._by_place)))

    async def aclose(self) -> None:
        """Close all of them."""
        while self._by_place:
            await self._close_oldest(next(iter(self._by_place)))

    def _is_old(self) -> bool:
        rows = next(iter(self._by_place.values()), None)
        return rows is not None and time.monotonic() - rows[-1][0] > PARKED_S_MAX

    async def _close_oldest(self, key: Key) -> None:
        rows = self._by_place[key]
        _, connection = rows.pop(0)
        self._count -= 1
        if not rows:
            del self._by_place[key]
        await connection.aclose()
