"""Rate limits that are exact with any number of API replicas: a sliding window, a
quota server and its clients.

    request -> QuotaClient (one a replica) --Ask--> QuotaServer (one a cluster) -> SlidingWindow (one a key)
                                        <-TokenLease--

A quota client spends units that the quota server has granted it in token leases, so most requests need no
call. The quota server counts the units when it grants them, as if each were spent at the last possible
moment. So a lease that is lost with its client, or arrives late, can only make the limit stricter. The
promise, for every key: never more than `limit` admissions in any half-open interval of `window_s`. Rounding
costs less than 0.1 % of the limit and the lifetime of a lease costs less than `ttl_s / window_s`.

Two clocks, both arguments: the quota server's is in epoch seconds (its rows outlive it),
a quota client's is monotonic.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

RUNS_PER_WINDOW_MAX = 1_000
LEASE_FRACTION = 0.01
LEASE_UNITS_MAX = 1_000
# Below this share of the limit a lease covers only the waiting requests, so that no replica
# hoards the last units.
SCARCE_FRACTION = 0.05
DENIAL_S_MAX = 1.0
KEYS_PER_POLICY_MAX = 250_000
KEYS_SWEPT_PER_LOAN = 2


class RateLimitPolicy(NamedTuple):
    """A class of callers and what each of them may use: `limit` units in any `window_s` seconds.

    ttl_s is how long a replica may use a granted unit; keys_max bounds the quota server's memory.
    """

    name: str
    limit: int
    window_s: float
    ttl_s: float = 5.0
    keys_max: int = KEYS_PER_POLICY_MAX


AUTHENTICATED = RateLimitPolicy("authenticated", 1_000, 3_600.0)
ANONYMOUS = RateLimitPolicy("anonymous", 100, 3_600.0)
LOGIN = RateLimitPolicy("login", 20, 60.0, ttl_s=0.5)
# Classes of a user's requests that have a limit of their own beside AUTHENTICATED.
WORKERS = RateLimitPolicy("workers", 100_000, 3_600.0)
DEVICES = RateLimitPolicy("devices", 10_000, 3_600.0)
STREAMS = RateLimitPolicy("streams", 3_600, 3_600.0)
INFERENCE = RateLimitPolicy("inference", 100_000, 3_600.0)
POLICIES = (AUTHENTICATED, ANONYMOUS, LOGIN, WORKERS, DEVICES, STREAMS, INFERENCE)


class Allowance(NamedTuple):
    """The answer to one request: what the rate-limit headers say.

    reset_epoch_s is when the next used unit frees up, retry_after_s the same as whole seconds from now.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_epoch_s: int
    retry_after_s: int
    window_s: int


class Ask(NamedTuple):
    """A quota client asks for units of one key; `waiting` requests need one each, `wanted`
    would avoid asking again soon."""

    name: str
    waiting: int
    wanted: int


class TokenLease(NamedTuple):
    """Units granted for `ttl_s` seconds from the moment of asking; none if the limit is reached."""

    name: str
    granted: int
    stamp: float
    ttl_s: float
    remaining: int
    reset_at: float
    reset_in_s: float


class UnspentUnits(NamedTuple):
    """Units of an ended lease that were not spent. Send it at most once: a repeat would free units twice."""

    name: str
    stamp: float
    units: int


class UsageRow(NamedTuple):
    """A durable run of used units: the whole count at (key, stamp), replacing any
    earlier row; 0 deletes it."""

    key: str
    stamp: float
    units: int


def name_of(policy: str, key: str) -> str:
    """Join a policy's name and a caller's key into the one string that asks, leases and rows carry."""
    return f"{policy}/{key}"


class SlidingWindow:
    """At most `limit` units in any half-open interval of `window_s` seconds.

    Used units are kept as runs (stamp, count). A stamp is rounded up to a thousandth of the window
    and never goes down, so a unit is held a little too long, never too short, and there are at
    most about a thousand runs.
    """

    __slots__ = ("_counts", "_stamps", "limit", "used", "window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        if limit < 1 or window_s <= 0:
            raise ValueError(
                f"a limit must have at least 1 unit and a window above 0 s, not {limit} in {window_s} s"
            )
        self.limit = limit
        self.window_s = window_s
        self.used = 0
        self._stamps = array("d")
        self._counts = array("q")

    def take(self, n: int, now: float) -> int:
        """Use up to n units at once, and say how many were granted."""
        return self.grant(n, now, 0.0)[0]

    def grant(self, n: int, now: float, ttl_s: float) -> tuple[int, UsageRow]:
        """Lend up to n units to be spent within ttl_s: they count from now until a
        window after now + ttl_s."""
        granted = max(min(n, self.remaining(now)), 0)
        if not granted:
            return 0, UsageRow("", now, 0)
        resolution = self.window_s / RUNS_PER_WINDOW_MAX
        latest = now + ttl_s
        return granted, self.record(granted, max(latest, math.ceil(latest / resolution) * resolution))

    def record(self, units: int, stamp: float) -> UsageRow:
        """Count units that are used no later than `stamp`; return their run, without a key."""
        if self._stamps and stamp <= self._stamps[-1]:
            self._counts[-1] += units
        else:
            self._stamps.append(stamp)
            self._counts.append(units)
        self.used += units
        return UsageRow("", self._stamps[-1], self._counts[-1])

    def give_back(self, n: int, stamp: float) -> UsageRow:
        """Free units of the run at `stamp` that will never be spent; a run that is gone frees nothing."""
        at = bisect_left(self._stamps, stamp)
        if at == len(self._stamps) or self._stamps[at] != stamp:
            return UsageRow("", stamp, 0)
        freed = min(n, self._counts[at])
        self._counts[at] -= freed
        self.used -= freed
        return UsageRow("", stamp, self._counts[at])

    def remaining(self, now: float) -> int:
        """How many units are free now; negative when a limit was lowered under what is in use."""
        self._expire(now)
        return self.limit - self.used

    def reset_at(self, now: float) -> float:
        """When the next used unit frees up; `now` when none is in use."""
        self._expire(now)
        for stamp, count in zip(self._stamps, self._counts, strict=True):
            if count:
                return stamp + self.window_s
        return now

    def _expire(self, now: float) -> None:
        ended = 0
        # The difference is exact for epoch seconds; the sum stamp + window would be rounded.
        while ended < len(self._stamps) and now - self._stamps[ended] >= self.window_s:
            self.used -= self._counts[ended]
            ended += 1
        if ended:
            del self._stamps[:ended]
            del self._counts[:ended]


class QuotaServer:
    """Counts every key of every policy and grants token leases; the only place that knows the true count.

    The shell round it makes `changes()` durable before a lease is answered, gives them to `restore` after a
    restart, and may delete rows stamped before `rows_end_before(now)`. Give-backs need no such care.
    """

    def __init__(self, policies: Iterable[RateLimitPolicy]) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._windows: dict[str, OrderedDict[str, SlidingWindow]] = {
            name: OrderedDict() for name in self._policies
        }
        self._changes: dict[tuple[str, float], int] = {}

    def grant(self, ask: Ask, now: float) -> TokenLease:
        """Grant what is free, in leases of a size that suits the limit; raise
        KeyError for an unknown policy."""
        policy = self._policies[ask.name.partition("/")[0]]
        window = self._window(ask.name, policy, now)
        if window is None:
            return TokenLease(ask.name, 0, now, policy.ttl_s, 0, now + DENIAL_S_MAX, DENIAL_S_MAX)
        remaining = window.remaining(now)
        granted, run = window.grant(lease_units(policy.limit, remaining, ask), now, policy.ttl_s)
        if granted:
            self._changes[ask.name, run.stamp] = run.units
        reset_at = window.reset_at(now)
        return TokenLease(
            ask.name, granted, run.stamp, policy.ttl_s, remaining - granted, reset_at, reset_at - now
        )

    def give_back(self, back: UnspentUnits) -> None:
        """Free the units of a lease that its quota client has dropped."""
        windows = self._windows.get(back.name.partition("/")[0])
        window = windows.get(back.name) if windows is not None else None
        if window is not None and back.units > 0:
            self._changes[back.name, back.stamp] = window.give_back(back.units, back.stamp).units

    def changes(self) -> list[UsageRow]:
        """Hand over the rows that changed since the last call."""
        changed, self._changes = self._changes, {}
        return [UsageRow(key, stamp, count) for (key, stamp), count in changed.items()]

    def restore(self, rows: Iterable[UsageRow], now: float) -> None:
        """Take up the counts of an earlier life; rows of policies that are gone are left out.

        A stamp later than any that could be made now comes from a clock that was set back: it is brought down
        to the latest possible one, which still counts it for a whole window.
        """
        for key, stamp, units in sorted(rows, key=lambda row: row[1]):
            policy = self._policies.get(key.partition("/")[0])
            if policy is None or now - stamp >= policy.window_s or units <= 0:
                continue
            window = self._windows[policy.name].setdefault(key, SlidingWindow(policy.limit, policy.window_s))
            run = window.record(units, min(stamp, now + policy.ttl_s))
            if run.stamp != stamp:
                self._changes[key, stamp] = 0
                self._changes[key, run.stamp] = run.units

    def rows_end_before(self, now: float) -> float:
        """Rows stamped before this no longer count for any policy and may be deleted."""
        return now - max(policy.window_s for policy in self._policies.values())

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def _window(self, name: str, policy: RateLimitPolicy, now: float) -> SlidingWindow | None:
        """Find or make a key's window, and drop idle ones; None where the policy has as
        many keys as it may."""
        windows = self._windows[policy.name]
        window = windows.get(name)
        if window is None:
            self._sweep(windows, now)
            if len(windows) >= policy.keys_max:
                return None
            window = windows[name] = SlidingWindow(policy.limit, policy.window_s)
        windows.move_to_end(name)
        return window

    @staticmethod
    def _sweep(windows: OrderedDict[str, SlidingWindow], now: float) -> None:
        for _ in range(min(KEYS_SWEPT_PER_LOAN, len(windows))):
            oldest = next(iter(windows))
            if windows[oldest].remaining(now) < windows[oldest].limit:
                return
            del windows[oldest]


def lease_units(limit: int, remaining: int, ask: Ask) -> int:
    """Return how many units to grant: 1 % of the limit at most, and only what waits once less
    than 5 % is left."""
    waiting = min(ask.waiting, LEASE_UNITS_MAX)
    if remaining < limit * SCARCE_FRACTION:
        return waiting
    largest = min(max(int(limit * LEASE_FRACTION), 1), LEASE_UNITS_MAX)
    return max(waiting, min(ask.wanted, largest))


@dataclass(slots=True)
class _Holding:
    """What a quota client knows of one key; times are by its own clock, but for reset_epoch_s."""

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
    """Spends granted units on behalf of one replica, and says when it must ask for more.

    A lease ends `ttl_s` after the moment *before* asking, by this side's clock, so it never outlives the
    time for which the quota server counts it. The lease wanted doubles while leases are used up and is 1 for
    a key that was idle.
    """

    policies: Mapping[str, RateLimitPolicy]
    _held: dict[str, _Holding] = field(default_factory=dict)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _unspent: list[UnspentUnits] = field(default_factory=list)

    def spend(self, policy: str, name: str, now: float) -> Allowance | None:
        """Admit or deny one request from what is known here; None: ask the quota server first."""
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
        """What the headers of a request that is not counted should say; a key unknown
        here has its whole limit."""
        held = self._held.get(name)
        if held is not None:
            return self._allowance(True, policy, held, now)
        _, limit, window_s, *_ = self.policies[policy]
        return Allowance(True, limit, limit, 0, 0, int(window_s))

    def ask(self, name: str, waiting: int, now: float) -> Ask:
        """Say what to ask the quota server for. The moment before each asking is
        what `receive` needs as asked_at."""
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
        """Drop what has ended and hand over the give-backs due; each is handed over once."""
        while self._ends and self._ends[0][0] <= now:
            _, name = heapq.heappop(self._ends)
            held = self._held.get(name)
            if held is not None and max(held.expires_at, held.denied_until) <= now:
                self._drop(name)
                del self._held[name]
        due, self._unspent = self._unspent, []
        return due

    def next_end(self) -> float | None:
        """When `unspent` next has something to do, by this side's clock; None when nothing is held."""
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
