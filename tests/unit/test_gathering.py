"""How long facts gather between two batches of a follower."""

from __future__ import annotations

import asyncio

import pytest

from helix_ray.followers.gathering import GatheringPauses, Pauses

FOR_EVER = 1e6


@pytest.mark.parametrize(
    ("batches", "next_s"), [([], 0.5), ([4_999], 0.5), ([5_000], 2.0), ([4_000, 1_000], 2.0)]
)
def test_the_more_facts_come_the_longer_they_gather(batches: list[int], next_s: float) -> None:
    """All batches since the pause before count: after a long one there are several."""
    gathering = GatheringPauses(Pauses(quiet_s=0.5, busy_s=2.0, busy_facts=5_000))
    for facts in batches:
        gathering.took(facts)
    assert gathering.next_s == next_s


def test_each_pause_is_as_long_as_the_facts_before_it_say() -> None:
    """A burst that is over does not keep the follower behind."""
    gathering = GatheringPauses(Pauses(quiet_s=0.5, busy_s=0.0, busy_facts=1))
    gathering.took(1)
    assert asyncio.run(gathering.pause()) is False
    assert gathering.next_s == 0.5


@pytest.mark.parametrize("first", [True, False], ids=["before the pause", "in the pause"])
def test_whoever_waits_ends_a_pause(first: bool) -> None:
    """However long it is; the pause after it is a whole one."""

    async def go() -> tuple[bool, bool]:
        gathering = GatheringPauses(Pauses(quiet_s=0.0, busy_s=FOR_EVER, busy_facts=1))
        gathering.took(1)
        if first:
            gathering.hurry()
        else:
            asyncio.get_running_loop().call_soon(gathering.hurry)
        return await gathering.pause(), await gathering.pause()

    assert asyncio.run(go()) == (True, False)
