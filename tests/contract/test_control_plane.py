"""One suite for every ControlPlane: memory, and the plane over links that are right, and that are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from helix_ray.plane.control import Plane
from helix_ray.views.history import History
from tests.contract.claims import OF_THE_PORT, Claim
from tests.contract.doors import PortDoor
from tests.contract.faulty_links import NONE, Faults, FaultyLinks, World
from tests.contract.virtual_time import run
from tests.contract.worlds import memory

SEEDS = range(3)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    found = History(tmp_path / "history.duckdb")
    yield found
    found.close()


async def put(claim: Claim, world: World) -> None:
    """Put a claim to a plane that keeps what it reads."""
    plane = Plane(FaultyLinks(world), cached=True)
    await claim(PortDoor("plane", plane))
    await plane.aclose()


@pytest.mark.parametrize("claim", OF_THE_PORT.values(), ids=OF_THE_PORT)
def test_memory(claim: Claim) -> None:
    """The engine itself."""

    async def work() -> None:
        await claim(PortDoor("memory", memory()))

    run(work())


@pytest.mark.parametrize("claim", OF_THE_PORT.values(), ids=OF_THE_PORT)
def test_the_plane(claim: Claim, history: History, tmp_path: Path) -> None:
    """The plane over links without a fault."""
    run(put(claim, World(memory(), history, tmp_path, Random(1), NONE)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("claim", OF_THE_PORT.values(), ids=OF_THE_PORT)
def test_the_plane_over_faulty_links(claim: Claim, seed: int, history: History, tmp_path: Path) -> None:
    """A third of all calls is lost, and the master dies again and again: nobody notices
    but by the time it takes."""
    faults = Faults(lost_before=0.15, lost_after=0.15, repeated=0.1, refused=0.1, master_dies=0.05)
    run(put(claim, World(memory(), history, tmp_path, Random(seed), faults)))
