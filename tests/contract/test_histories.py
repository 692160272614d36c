"""What concurrent clients see can be put in one order: over memory, and over links that lose,
delay, repeat and reorder.

tests/ray and tests/e2e have the same clients over a live cluster (test_contract.py, test_replicas.py). A seed
that fails fails again: time here is virtual. `make chaos` tries many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from helix_ray.plane.control import Plane
from helix_ray.views.history import History
from tests.contract.crowd import Crowd, by_door
from tests.contract.doors import PortDoor
from tests.contract.faulty_links import NONE, FaultyLinks, World
from tests.contract.virtual_time import run
from tests.contract.worlds import memory

CLIENTS = 6
ROUNDS = 60
CALLERS = 3
SEEDS = int(os.environ.get("HISTORY_SEEDS", "6"))
FIRST_SEED = int(os.environ.get("HISTORY_FIRST_SEED", "1"))


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    found = History(tmp_path / "history.duckdb")
    yield found
    found.close()


async def crowd_over(world: World, seed: int, *, archiving: bool, rounds: int) -> Crowd:
    """Let a crowd loose on a world, through several callers that keep what they read."""
    loop = asyncio.get_running_loop()
    planes = [Plane(FaultyLinks(world), cached=True) for _ in range(CALLERS)]
    doors = [PortDoor(f"plane{number}", plane) for number, plane in enumerate(planes)]
    crowd = Crowd(doors, loop.time, Random(seed))
    over = False
    aging = loop.create_task(world.age(lambda: over)) if archiving else None
    await crowd.run(CLIENTS, rounds)
    over = True
    if aging is not None:
        await aging
    for plane in planes:
        await plane.aclose()
    return crowd


def test_over_memory() -> None:
    """The engine itself, asked by several at once."""
    plane = memory()

    async def work() -> Crowd:
        crowd = Crowd([PortDoor("memory", plane)], asyncio.get_running_loop().time, Random(1))
        await crowd.run(CLIENTS, ROUNDS)
        return crowd

    assert run(work()).violations() == []


def test_over_links_without_a_fault(tmp_path: Path, history: History) -> None:
    """And the plane adds nothing wrong of its own: batches, the read cache, keys."""
    world = World(memory(), history, tmp_path, Random(1), NONE)
    crowd = run(crowd_over(world, 1, archiving=False, rounds=ROUNDS))
    assert crowd.violations() == []
    assert crowd.answered["nothing"] == 0


def test_a_cache_that_is_not_told_is_found(tmp_path: Path, history: History) -> None:
    """The crowd is no use unless it sees the fault that it is for: a master that
    notes no change on its board."""
    world = World(memory(), history, tmp_path, Random(1), NONE)
    assert world.board is not None
    world.board.note = lambda task_ids, seq: None  # type: ignore[method-assign]
    assert run(crowd_over(world, 1, archiving=False, rounds=ROUNDS)).violations()


def test_a_view_that_is_said_to_be_newer_than_it_is_is_found(tmp_path: Path, history: History) -> None:
    """Published views are read by the crowd, so one that outlives a change is seen."""
    world = World(memory(), history, tmp_path, Random(1), NONE)
    assert world.board is not None
    publish = world.board.publish
    world.board.publish = lambda view, seq: publish(view, seq + 10)  # type: ignore[method-assign]
    assert run(crowd_over(world, 1, archiving=False, rounds=ROUNDS)).violations()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
@pytest.mark.parametrize("archiving", [False, True], ids=["in memory", "leaving memory"])
def test_over_faulty_links(tmp_path: Path, history: History, seed: int, archiving: bool) -> None:
    """Calls are lost, late, repeated and out of order, the master dies, the history is
    behind: no read is stale."""
    world = World(memory(), history, tmp_path, Random(seed))
    crowd = run(crowd_over(world, seed, archiving=archiving, rounds=ROUNDS))
    told = crowd.violations()
    assert not told, f"seed {seed}:\n" + "\n".join(told)
    assert len(by_door(crowd)) >= CALLERS
