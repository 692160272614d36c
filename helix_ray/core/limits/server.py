"""The quota server: the true count of every key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from helix_ray.core.limits.messages import (
    DENIAL_S_MAX,
    LEASE_UNITS_MAX,
    Ask,
    TokenLease,
    UnspentUnits,
    UsageRow,
)
from helix_ray.core.limits.policies import RateLimitPolicy
from helix_ray.core.limits.window import SlidingWindow

LEASE_FRACTION = 0.01
# Below this share of the limit a lease covers only the waiting requests, so that no replica
# hoards the last units.
SCARCE_FRACTION = 0.05
KEYS_SWEPT_PER_LOAN = 2


class QuotaServer:
    """Counts every key of every policy and grants token leases; the only place that knows the true count.

    Its actor makes `changes()` durable before a lease is returned, passes them to `restore` after a restart,
    and may delete rows stamped before `rows_end_before(now)`. Give-backs need not be durable.
    """

    def __init__(self, policies: Iterable[RateLimitPolicy]) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._windows: dict[str, OrderedDict[str, SlidingWindow]] = {
            name: OrderedDict() for name in self._policies
        }
        self._changes: dict[tuple[str, float], int] = {}

    def grant(self, ask: Ask, now: float) -> TokenLease:
        """Grant free units, in leases of a size that suits the limit; raise
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
        """Free the unspent units of a lease."""
        windows = self._windows.get(back.name.partition("/")[0])
        window = windows.get(back.name) if windows is not None else None
        if window is not None and back.units > 0:
            self._changes[back.name, back.stamp] = window.give_back(back.units, back.stamp).units

    def changes(self) -> list[UsageRow]:
        """Return the rows that changed since the last call."""
        changed, self._changes = self._changes, {}
        return [UsageRow(key, stamp, count) for (key, stamp), count in changed.items()]

    def restore(self, rows: Iterable[UsageRow], now: float) -> None:
        """Load the counts of an earlier process; rows of unknown policies are ignored.

        A stamp later than any that is possible now comes from a clock that was set back: it is reduced to the
        latest possible one, which still counts it for a whole window.
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

    def set_back(self, now: float) -> None:
        """Count by a clock that was set back: what was used counts for a window from now on at most."""
        rows = [
            run._replace(key=key)
            for windows in self._windows.values()
            for key, window in windows.items()
            for run in window.runs()
        ]
        for windows in self._windows.values():
            windows.clear()
        self.restore(rows, now)

    def rows_end_before(self, now: float) -> float:
        """Rows stamped before this no longer count for any policy and may be deleted."""
        return now - max(policy.window_s for policy in self._policies.values())

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def _window(self, name: str, policy: RateLimitPolicy, now: float) -> SlidingWindow | None:
        """Return a key's window, creating it and dropping idle ones; None where the policy
        has its maximum of keys."""
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
    """Return how many units to grant: at most 1 % of the limit, and only for waiting requests
    when less than 5 % is left."""
    waiting = min(ask.waiting, LEASE_UNITS_MAX)
    if remaining < limit * SCARCE_FRACTION:
        return waiting
    largest = min(max(int(limit * LEASE_FRACTION), 1), LEASE_UNITS_MAX)
    return max(waiting, min(ask.wanted, largest))
