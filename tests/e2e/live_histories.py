"""The crowd of tests/contract over a live server: through REST to whichever replica,
and through the Python API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import httpx

from tests.contract.crowd import Crowd
from tests.contract.doors import Door, HttpDoor
from tests.contract.hx_door import hx_door
from tests.e2e.live import REQUEST_S_MAX, Live

ROOT = Path(__file__).parents[2]
HTTP_DOORS = 5
CLIENTS = 8
# Enough for whoever comes back: the crowd is stopped by time.
ROUNDS_MAX = 1_000_000

# When to kill which process, in seconds from the start: the titles of live.py.
Kills = Sequence[tuple[float, str]]


async def crowd_over(live: Live, seconds: float, kills: Kills, seed: int) -> Crowd:
    """Let a crowd loose for some seconds while processes are killed; delete what it leaves."""
    end = time.monotonic() + seconds
    async with contextlib.AsyncExitStack() as stack:
        doors: list[Door] = [await stack.enter_async_context(hx_door(_environment(live)))]
        token = live.client().headers["Authorization"]
        for number in range(HTTP_DOORS):
            client = httpx.AsyncClient(
                base_url=f"{live.url}/api/v1", timeout=REQUEST_S_MAX, headers={"Authorization": token}
            )
            doors.append(HttpDoor(f"http{number}", await stack.enter_async_context(client)))
        end = time.monotonic() + seconds
        crowd = Crowd(doors, time.monotonic, Random(seed), project=f"crowd-{seed}")
        crowd.stop = lambda: time.monotonic() > end
        killing = asyncio.create_task(_kill(live, kills))
        await crowd.run(CLIENTS, ROUNDS_MAX)
        await killing
        for known in crowd.families:
            await doors[1].delete(known.ids[0])
    return crowd


async def _kill(live: Live, kills: Kills) -> None:
    begun = time.monotonic()
    for at_s, title in kills:
        await asyncio.sleep(max(0.0, begun + at_s - time.monotonic()))
        pids = await asyncio.to_thread(live.pids, title)
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGKILL)


def _environment(live: Live) -> dict[str, str]:
    """Return what a program on this machine has: the data directory, and nothing
    of the test's own cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELIX_", "RAY_"))}
    return {**kept, "HELIX_DATA_DIR": str(live.data_dir), "PYTHONPATH": str(ROOT)}
