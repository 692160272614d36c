"""The Limiter of one replica: a QuotaClient with a clock, and one conversation with the
quota server at a time.

Requests for leases that come while a call is under way go into the next call together, so all keys of
a replica share its cost.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.limits import (
    Allowance,
    Ask,
    QuotaClient,
    QuotaServer,
    RateLimitPolicy,
    TokenLease,
    UnspentUnits,
    name_of,
)

log = logging.getLogger(__name__)

# Asks and give-backs in; one lease for each ask out, in the same order.
AskQuotaServer = Callable[[Sequence[Ask], Sequence[UnspentUnits]], Awaitable[Sequence[TokenLease]]]

ASK_S_MAX = 5.0
ASK_AGAIN_S = 0.2
ASKS_PER_REQUEST_MAX = 20
RETRY_AFTER_S = 1
# Give-backs may wait this long, so that many small leases do not wake the loop one by one.
GIVE_BACK_S_MIN = 0.25


class LeasingLimiter:
    """Spends token leases; when the quota server is out of reach, requests that need a lease are refused."""

    def __init__(
        self,
        policies: Iterable[RateLimitPolicy],
        ask_quota_server: AskQuotaServer,
        *,
        ask_s_max: float = ASK_S_MAX,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._quota_client = QuotaClient({policy.name: policy for policy in policies})
        self._ask_quota_server = ask_quota_server
        self._ask_s_max = ask_s_max
        self._clock = clock
        self._epoch = epoch
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._conversation: asyncio.Task[None] | None = None
        self._flush: asyncio.TimerHandle | None = None

    async def take(self, key: str, policy: str) -> Allowance:
        """Count one request; raise Refused (SERVICE_UNAVAILABLE) when the quota server
        does not respond in time."""
        name = name_of(policy, key)
        for _ in range(ASKS_PER_REQUEST_MAX):
            allowance = self._quota_client.spend(policy, name, self._clock())
            if allowance is not None:
                return allowance
            await self._wait_for_lease(name)
        raise _unavailable()

    def peek(self, key: str, policy: str) -> Allowance:
        """Return the allowance as known here, without counting a request."""
        allowance = self._quota_client.peek(policy, name_of(policy, key), self._clock())
        return (
            allowance
            if allowance.reset_epoch_s
            else allowance._replace(reset_epoch_s=math.ceil(self._epoch()))
        )

    async def close(self) -> None:
        """Stop calling the quota server; safe to call twice. Unused leases expire."""
        if self._flush is not None:
            self._flush.cancel()
        if self._conversation is not None:
            self._conversation.cancel()
            await asyncio.gather(self._conversation, return_exceptions=True)

    async def _wait_for_lease(self, name: str) -> None:
        answered = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(answered)
        self._converse()
        await answered

    def _converse(self) -> None:
        if self._conversation is None or self._conversation.done():
            self._conversation = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        """Ask for all waiting keys until none waits; then give back expired leases."""
        while True:
            waiting, self._waiting = self._waiting, {}
            now = self._clock()
            asks = [self._quota_client.ask(name, len(inline), now) for name, inline in waiting.items()]
            backs = self._quota_client.unspent(now)
            if not asks and not backs:
                break
            answered = False
            try:
                answered = await self._ask(asks, backs)
            finally:
                _resolve(waiting.values(), answered)
        self._flush_later()

    async def _ask(self, asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> bool:
        """Ask until there is an answer or the time is up, so that a restart of the quota
        server costs only latency.

        Give-backs are not repeated after a failure, since they may have arrived.
        """
        try:
            async with asyncio.timeout(self._ask_s_max):
                while not await self._ask_once(asks, backs):
                    backs = ()
                    await asyncio.sleep(ASK_AGAIN_S)
        except TimeoutError:
            return False
        return True

    async def _ask_once(self, asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> bool:
        asked_at = self._clock()
        try:
            leases = await self._ask_quota_server(asks, backs)
        except Exception:
            log.warning("the quota server does not respond", exc_info=True)
            return False
        arrived_at = self._clock()
        for lease in leases:
            self._quota_client.receive(lease, asked_at, arrived_at)
        return True

    def _flush_later(self) -> None:
        """Wake up when the next lease expires, so that its rest is given back without a request."""
        ends_at = self._quota_client.next_end()
        if self._flush is not None:
            self._flush.cancel()
        if ends_at is not None:
            delay_s = max(ends_at - self._clock(), GIVE_BACK_S_MIN)
            self._flush = asyncio.get_running_loop().call_later(delay_s, self._converse)


def grant_here(policies: Iterable[RateLimitPolicy], epoch: Callable[[], float] = time.time) -> AskQuotaServer:
    """A quota server in this process, for tests and for a single replica whose counts may be lost."""
    quota_server = QuotaServer(policies)

    async def ask_quota_server(asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> Sequence[TokenLease]:
        now = epoch()
        for back in backs:
            quota_server.give_back(back)
        leases = [quota_server.grant(ask, now) for ask in asks]
        quota_server.changes()
        return leases

    return ask_quota_server


def _resolve(waiting: Iterable[list[asyncio.Future[None]]], answered: bool) -> None:
    """Wake the waiting requests, with a lease or a refusal."""
    for waiter in (waiter for inline in waiting for waiter in inline if not waiter.done()):
        if answered:
            waiter.set_result(None)
        else:
            waiter.set_exception(_unavailable())


def _unavailable() -> Refused:
    details = {"retry_after_s": RETRY_AFTER_S}
    return Refused(
        Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The rate limiter is unavailable. Try again", details)
    )
