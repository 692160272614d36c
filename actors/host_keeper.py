"""Keeps the history of hosts: what nodes say of their hosts in heartbeats is written once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from helix_ray.engine import Engine
from helix_ray.monitoring.history import FOLDER, HostHistory

WRITE_EVERY_S = 1.0
PRUNE_EVERY_S = 3600.0


async def keep_hosts(engine_of: Callable[[], Engine], data_dir: Path) -> None:
    """Write for as long as the master lives, on a thread: a slow disk delays no order."""
    engine, history = engine_of(), HostHistory(data_dir / FOLDER)
    prune_at = 0.0
    try:
        while True:
            if samples := engine.liveness.take_hosts(engine.state):
                await asyncio.to_thread(history.note, samples)
            if time.monotonic() >= prune_at:
                await asyncio.to_thread(history.prune, time.time())
                prune_at = time.monotonic() + PRUNE_EVERY_S
            await asyncio.sleep(WRITE_EVERY_S)
    finally:
        history.close()
