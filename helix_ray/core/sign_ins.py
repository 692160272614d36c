"""Failed sign-ins slow down the next ones (ADR 90).

Two things are slowed down, each by a wait that doubles with every failure beyond a number of free ones:

    what                       free failures          longest wait   whom it stops
    an account at an address   sign_in_failures_max   1 minute       who guesses from there
    an account                 ten times as many      15 minutes     addresses where nobody ever signed in

So many addresses together get nowhere, and yet cannot keep the owner out: an address from which somebody has
signed in (`State.sign_in_addresses`) is only stopped for what failed there. Whose sign-in it was does not
matter, or an address could tell whether an account exists. For the same reason a name that is no account is
counted like one: its account is a keyed digest of the name.

An IPv6 address counts as its /64 (core/networks.py).

The counts are in the master's memory: they are the same for all replicas, and a restart forgets them. Their
number is limited; the one that failed longest ago goes first.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from helix_ray.core.networks import network_of
from helix_ray.core.orders import Refusal
from helix_ray.core.usernames import STRANGER_PREFIX, name_key

PAIR_WAIT_S_MAX: Final = 60.0
ACCOUNT_WAIT_S_MAX: Final = 900.0
# A free failure of an account is worth so many of a pair: 100 by default, the limit of NIST SP 800-63B-4.
PAIRS_PER_ACCOUNT: Final = 10
FORGOTTEN_AFTER_S: Final = 3600.0
ENTRIES_MAX: Final = 50_000
SHOWN_DIGEST_CHARS: Final = 8

Key = TypeVar("Key")


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float


class _Backoff(Generic[Key]):
    """Failures by key, and how long the next try must wait."""

    def __init__(self, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()

    def note(self, key: Key, count: int, now: float) -> None:
        known = self._failures.pop(key, None)
        before = known.count if known is not None and now - known.last_at < FORGOTTEN_AFTER_S else 0
        self._failures[key] = _Failures(before + count, now)
        if len(self._failures) > ENTRIES_MAX:
            self._failures.popitem(last=False)

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)

    def wait_s(self, key: Key, free: int, now: float) -> float:
        known = self._failures.get(key)
        if known is None or known.count < free:
            return 0.0
        # Beyond 2^20 seconds every wait is the longest one.
        wait_s = min(2.0 ** min(known.count - free, 20), self._wait_s_max)
        return min(max(known.last_at + wait_s - now, 0.0), wait_s)

    def __len__(self) -> int:
        return len(self._failures)


class SignIns:
    """Counts failed sign-ins. In memory only; `now` is in epoch seconds.

    `key` makes the digests of names that are no accounts: with the same key a name has the same digest.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._pairs: _Backoff[tuple[str, str]] = _Backoff(PAIR_WAIT_S_MAX)
        self._accounts: _Backoff[str] = _Backoff(ACCOUNT_WAIT_S_MAX)

    def stranger(self, name: str) -> str:
        """Return the key under which failed sign-ins with a name that no account has are counted."""
        digest = hmac.digest(self._key, name_key(name).encode(errors="replace"), "sha256")
        return f"{STRANGER_PREFIX}{digest.hex()}"

    def shown(self, stranger: str) -> str:
        """Return what the audit shows for a name that no account has: people type passwords into that field.

        Equal names are recorded equally, and the name cannot be told from it.
        """
        return stranger[: len(STRANGER_PREFIX) + SHOWN_DIGEST_CHARS]

    def note(self, refusal: Refusal, now: float, known: Container[str]) -> None:
        """Count failures of an account; `known` are the addresses from which somebody has signed in."""
        account, address = refusal.account, network_of(refusal.origin.address)
        if not account:
            return
        self._pairs.note((account, address), refusal.count, now)
        if address not in known:
            self._accounts.note(account, refusal.count, now)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of an account at an address where its owner has signed in."""
        self._pairs.forget((account, network_of(address)))

    def wait_s(self, account: str, address: str, free: int, now: float, *, known: bool) -> float:
        """Return how long the next try must wait; 0 if it need not."""
        wait_s = self._pairs.wait_s((account, network_of(address)), free, now)
        if known:
            return wait_s
        return max(wait_s, self._accounts.wait_s(account, free * PAIRS_PER_ACCOUNT, now))

    def __len__(self) -> int:
        return len(self._pairs) + len(self._accounts)
