"""Requests that are not answered end one after another, and seldom beside receivers that work."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from helix_ray.webhooks.send_limits import APART_BESIDE_S, APART_S, SendLimits

WAIT_S = 0.01


async def ends(limits: SendLimits, requests: int) -> list[float]:
    """Begin so many requests together, and return after how long each was ended."""
    clock = asyncio.get_running_loop().time
    began = clock()

    async def hang() -> float:
        limit = limits.limit()
        with pytest.raises(TimeoutError):
            async with limit:
                await asyncio.Event().wait()
        limits.forget(limit)
        # A busy machine lets some of them see it late.
        ended_at = limit.when()
        assert ended_at is not None
        return ended_at - began

    return [*await asyncio.gather(*(hang() for _ in range(requests)))]


@pytest.mark.parametrize("is_busy", [False, True])
def test_requests_that_began_together_do_not_end_together(is_busy: bool) -> None:
    """None ends before its time, and they end in the order in which they began."""
    apart_s = APART_BESIDE_S if is_busy else APART_S
    found = asyncio.run(ends(SendLimits(WAIT_S, lambda: is_busy), 4))
    assert found[0] >= WAIT_S
    for before, after in itertools.pairwise(found):
        # The clock of the loop is a tick behind at most.
        assert after - before >= 0.9 * apart_s


def test_requests_that_were_answered_are_forgotten() -> None:
    """The next one has its whole time."""

    async def story() -> None:
        limits = SendLimits(WAIT_S, lambda: False)
        limits.forget(limits.limit())
        assert (await ends(limits, 1))[0] >= WAIT_S
        limits.limit()
        limits.stop()

    asyncio.run(story())
