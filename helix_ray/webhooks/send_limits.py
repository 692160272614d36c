"""Ends requests that are not answered in time.

Hundreds that began together would end together, and each costs processor time for which receivers that work
would wait. So they end one after another, and seldom while those are being told.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

# How long after one that was ended the next one is, and how long while receivers that work are being told.
APART_S, APART_BESIDE_S = 0.002, 0.025


class SendLimits:
    """The limits of all requests under way, in the order in which they began; for one event loop."""

    def __init__(self, wait_s: float, is_busy: Callable[[], bool]) -> None:
        """`is_busy` says whether receivers that work are being told."""
        self._wait_s = wait_s
        self._is_busy = is_busy
        self._until: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> asyncio.Timeout:
        """Return the limit of a request that begins; the request enters it before it waits for anything."""
        until = asyncio.get_running_loop().time() + self._wait_s
        limit = asyncio.timeout(None)
        self._until[limit] = until
        if self._timer is None:
            self._look_at(until)
        return limit

    def forget(self, limit: asyncio.Timeout) -> None:
        """Forget the limit of a request that ended."""
        self._until.pop(limit, None)

    def stop(self) -> None:
        """End no more requests."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, at: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        at = 0.0
        if self._first_until() <= now:
            limit = next(iter(self._until))
            del self._until[limit]
            limit.reschedule(now)
            at = now + (APART_BESIDE_S if self._is_busy() else APART_S)
        if self._until:
            self._look_at(max(at, self._first_until()))

    def _first_until(self) -> float:
        return next(iter(self._until.values()), math.inf)
