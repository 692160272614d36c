"""The contract of tests/contract over a live cluster: through the gateway, and through the Python API."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

import helix_ray as hx
from actors.gateway import RayControlPlane
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CancelTask
from helix_ray.core.questions import GetTask
from helix_ray.plane.names import MASTER
from helix_ray.plane.ray_links import RayLinks
from helix_ray.plane.read_cache import ReadCache
from tests.contract.claims import (
    OF_EVERY_DOOR,
    OF_THE_PORT,
    TASK,
    Claim,
    an_order_is_carried_out_once,
    done,
    submitted,
)
from tests.contract.doors import HxDoor, PortDoor
from tests.ray.conftest import LiveCluster
from tests.ray.signals import until


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


def test_a_first_read_needs_no_call_of_the_master(cluster: LiveCluster) -> None:
    """A replica that has never asked for a task finds it as the master published it after its last change."""

    async def work() -> None:
        plane, cache = RayControlPlane(), ReadCache()
        door = PortDoor("gateway", plane)
        (task_id,) = await submitted(door, TASK)
        await done(door, CancelTask(task_id))
        cache.attach((await RayLinks().call(MASTER, "info"))["board"])
        await asyncio.to_thread(until, lambda: cache.task(task_id, SYSTEM) is not None)
        found = cache.task(task_id, SYSTEM)
        assert found is not None
        assert found["status"] == "cancelled"
        assert found == await plane.query(GetTask(task_id), SYSTEM)
        cache.detach()
        await plane.aclose()

    asyncio.run(work())
