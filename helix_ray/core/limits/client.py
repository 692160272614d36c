"""The quota client: spends granted units without a call."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from helix_ray.core.limits.messages import (
    DENIAL_S_MAX,
    LEASE_UNITS_MAX,
    Allowance,
    Ask,
    TokenLease,
    UnspentUnits,
)
from helix_ray.core.limits.policies import RateLimitPolicy


@dataclass(slots=True, kw_only=True)
class _Holding:
    """A quota client's state of one key; times are by its own clock, except reset_epoch_s."""

    left: int
    expires_at: float
    stamp: float
    remaining: int
    reset_epoch_s: int
    frees_at: float
    denied_until: float
    appetite: int


@dataclass(slots=True)
class QuotaClient:
    """Spends granted units for one replica, and reports when it must ask for more.

    A lease ends `ttl_s` after the moment *before* asking, by this side's clock, so it never outlives the
    time for which the quota server counts it. The lease wanted doubles while leases are used up and is 1 for
    a key that was idle.
    """

    policies: Mapping[str, RateLimitPolicy]
    _held: dict[str, _Holding] = field(default_factory=dict)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _unspent: list[UnspentUnits] = field(default_factory=list)

    def spend(self, policy: str, name: str, now: float) -> Allowance | None:
        """Admit or deny a request with the units granted so far; None: ask the quota server first."""
        held = self._held.get(name)
        if held is None:
            return None
        if held.left and now < held.expires_at:
            held.left -= 1
            return self._allowance(True, policy, held, now)
        if now < held.denied_until:
            return self._allowance(False, policy, held, now)
        return None

    def peek(self, policy: str, name: str, now: float) -> Allowance:
        """Return the headers for a request that is not counted; an unknown key has its whole limit."""
        held = self._held.get(name)
        if held is not None:
            return self._allowance(True, policy, held, now)
        _, limit, window_s, *_ = self.policies[policy]
        return Allowance(True, limit, limit, 0, 0, int(window_s))

    def ask(self, name: str, waiting: int, now: float) -> Ask:
        """Return the request to the quota server. `receive` needs the time before the call as asked_at."""
        held = self._held.get(name)
        busy = held is not None and not held.left and now < held.expires_at
        appetite = min(held.appetite * 2, LEASE_UNITS_MAX) if held is not None and busy else 1
        if held is not None:
            held.appetite = appetite
        return Ask(name, waiting, max(waiting, appetite))

    def receive(self, lease: TokenLease, asked_at: float, now: float) -> None:
        """Accept a lease; one that arrives after its end is void, and its units are returned."""
        self._drop(lease.name)
        expires_at = asked_at + lease.ttl_s
        usable = lease.granted if now < expires_at else 0
        if usable < lease.granted:
            self._unspent.append(UnspentUnits(lease.name, lease.stamp, lease.granted))
        denied_until = 0.0 if lease.granted else now + min(lease.reset_in_s, DENIAL_S_MAX)
        self._held[lease.name] = _Holding(
            left=usable,
            expires_at=expires_at,
            stamp=lease.stamp,
            remaining=max(lease.remaining, 0),
            reset_epoch_s=math.ceil(lease.reset_at),
            frees_at=now + lease.reset_in_s,
            denied_until=denied_until,
            appetite=max(lease.granted, 1),
        )
        heapq.heappush(self._ends, (max(expires_at, denied_until), lease.name))

    def unspent(self, now: float) -> list[UnspentUnits]:
        """Drop expired leases and return the give-backs that are due; each is returned once."""
        while self._ends and self._ends[0][0] <= now:
            _, name = heapq.heappop(self._ends)
            held = self._held.get(name)
            if held is not None and max(held.expires_at, held.denied_until) <= now:
                self._drop(name)
                del self._held[name]
        due, self._unspent = self._unspent, []
        return due

    def next_end(self) -> float | None:
        """Return when `unspent` next has something to do, by this side's clock;
        None when there is no lease."""
        return self._ends[0][0] if self._ends else None

    def _drop(self, name: str) -> None:
        held = self._held.get(name)
        if held is not None and held.left:
            self._unspent.append(UnspentUnits(name, held.stamp, held.left))
            held.left = 0

    def _allowance(self, allowed: bool, policy: str, held: _Holding, now: float) -> Allowance:
        _, limit, window_s, *_ = self.policies[policy]
        retry_after_s = max(math.ceil(held.frees_at - now), 1)
        return Allowance(
            allowed, limit, held.remaining + held.left, held.reset_epoch_s, retry_after_s, int(window_s)
        )
