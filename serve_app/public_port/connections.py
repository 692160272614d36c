"""The table of a process's connections: which to admit, which to close for others, which have taken too long.

A connection that waits for its client (idle between requests, or with an incomplete head or body) is cheap to
open again, so it is closed when others need room: idle ones first, then incomplete heads, then incomplete
bodies, the oldest of each first. A connection with a complete request stays. An address that has used its
share makes room among its own connections only, so it takes none from others; and because the share is by
default at most a quarter of the total, no single address can take all.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol

from helix_ray.core.networks import network_of
from serve_app.public_port.limits import ConnectionLimits

CHECK_EVERY_S = 0.25


class Waits(Enum):
    """What a connection waits for."""

    NEXT_REQUEST = "idle"
    REST_OF_HEAD = "opening"
    REST_OF_BODY = "sending"
    NOTHING = "busy"


class Member(Protocol):
    """One connection."""

    def make_room(self) -> None:
        """End at once: others need the place."""
        ...

    def cut(self) -> None:
        """Release the file handle, even if the client has not read everything."""
        ...

    def check(self, now: float) -> None:
        """Close if it has taken too long; `now` is the loop's time."""
        ...


Ordered = dict[Member, None]


class _Share:
    """The connections of one address, or of all: their number, and those that wait, the oldest first."""

    __slots__ = ("count", "idle", "opening", "sending")

    def __init__(self) -> None:
        self.count = 0
        self.idle: Ordered = {}
        self.opening: Ordered = {}
        self.sending: Ordered = {}

    def move(self, member: Member, waits: Waits) -> None:
        self.idle.pop(member, None)
        self.opening.pop(member, None)
        self.sending.pop(member, None)
        if waits is Waits.NEXT_REQUEST:
            self.idle[member] = None
        elif waits is Waits.REST_OF_HEAD:
            self.opening[member] = None
        elif waits is Waits.REST_OF_BODY:
            self.sending[member] = None

    def first_to_go(self) -> Member | None:
        return next(iter(self.idle or self.opening or self.sending), None)


class Connections:
    """The table itself; for use on one event loop."""

    def __init__(self, limits: ConnectionLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self._loop = loop
        self._all = _Share()
        self._by_address: dict[str, _Share] = {}
        self._address_of: dict[Member, str] = {}
        # Refused or closed connections whose file handles are still open; they no longer count.
        self._ending: Ordered = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._all.count

    def admit(self, member: Member, host: str) -> bool:
        """Admit a connection, if necessary in place of one that waits; False when there is no room."""
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_EVERY_S, self._check_all)
        address = network_of(host)
        share = self._by_address.get(address) or _Share()
        full = share.count >= self.limits.connections_per_address_max
        if full and not self.limits.stands_for_many(host) and not _make_room(share):
            return False
        if self._all.count >= self.limits.connections_max and not _make_room(self._all):
            return False
        self._by_address[address] = share
        self._address_of[member] = address
        for counted in (share, self._all):
            counted.count += 1
            counted.move(member, Waits.REST_OF_HEAD)
        return True

    def now_waits(self, member: Member, waits: Waits) -> None:
        """Note what a connection waits for."""
        address = self._address_of.get(member)
        if address is not None:
            self._by_address[address].move(member, waits)
            self._all.move(member, waits)

    def ending(self, member: Member) -> None:
        """Stop counting a connection, and watch it until it is gone; of too many the oldest is cut off.

        Each still has a file handle: clients that never close would use up all of them.
        """
        self._forget(member)
        self._ending[member] = None
        if len(self._ending) > self.limits.connections_ending_max:
            oldest = next(iter(self._ending))
            del self._ending[oldest]
            oldest.cut()

    def gone(self, member: Member) -> None:
        """Forget a connection."""
        self._forget(member)
        self._ending.pop(member, None)

    def _forget(self, member: Member) -> None:
        address = self._address_of.pop(member, None)
        if address is None:
            return
        share = self._by_address[address]
        for counted in (share, self._all):
            counted.count -= 1
            counted.move(member, Waits.NOTHING)
        if share.count == 0:
            del self._by_address[address]

    def _check_all(self) -> None:
        now = self._loop.time()
        for member in (*self._address_of, *self._ending):
            member.check(now)
        left = self._address_of or self._ending
        self._timer = self._loop.call_later(CHECK_EVERY_S, self._check_all) if left else None


def _make_room(share: _Share) -> bool:
    first = share.first_to_go()
    if first is None:
        return False
    first.make_room()
    return True
