"""The contract of tests/contract over a live cluster: through the gateway, and through the Python API."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

import helix_ray as hx
from actors.gateway import RayControlPlane
from tests.contract.claims import OF_EVERY_DOOR, OF_THE_PORT, Claim, an_order_is_carried_out_once
from tests.contract.doors import HxDoor, PortDoor
from tests.ray.conftest import LiveCluster


@pytest.mark.parametrize("claim", OF_THE_PORT.values(), ids=OF_THE_PORT)
def test_the_gateway(cluster: LiveCluster, claim: Claim) -> None:
    """As an API replica has it, with what it keeps of its reads."""

    async def work() -> None:
        plane = RayControlPlane(cached=True)
        await claim(PortDoor("gateway", plane))
        await plane.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("claim", OF_EVERY_DOOR.values(), ids=OF_EVERY_DOOR)
def test_the_python_api(cluster: LiveCluster, claim: Claim) -> None:
    """Handles, `order` and `ask`; the master is killed before what must be carried out once."""
    with hx.connect() as connected:
        if claim is an_order_is_carried_out_once:
            os.kill(cluster.master_pid(), signal.SIGKILL)
        asyncio.run(_put(claim, connected))


async def _put(claim: Claim, connected: hx.Cluster) -> None:
    await claim(HxDoor("hx", connected))
