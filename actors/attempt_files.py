"""The calls of a node worker about what its attempts wrote and yielded, also while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from actors.attempt_log import read_piece, read_yielded
from actors.life import LivingActor
from helix_ray.core.views.tasks import ItemsView, LogView
from helix_ray.execution.effects import Key
from helix_ray.execution.node_state import NodeState

LOOK_AGAIN_S_MIN = 0.002
LOOK_AGAIN_S_MAX = 0.05

Piece = TypeVar("Piece", LogView, ItemsView)


class AttemptFiles(LivingActor):
    """Reads files of attempts by offset; those of an attempt that this node holds may grow."""

    _log_dir: Path
    _state: NodeState

    async def read_log(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, raw: bool, wait_s: float
    ) -> LogView:
        """Return a piece of an attempt's log, waiting up to `wait_s` seconds for more of a running one."""

        def read(over: bool) -> LogView:
            return read_piece(self._log_dir, task_id, attempt, offset, limit_bytes, raw, over=over)

        return await self._within(wait_s, (task_id, attempt), read, lambda piece: bool(piece["text"]))

    async def read_items(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, wait_s: float
    ) -> ItemsView:
        """Return a piece of what an attempt has yielded, waiting for more as `read_log` does."""

        def read(over: bool) -> ItemsView:
            return read_yielded(self._log_dir, task_id, attempt, offset, limit_bytes, over=over)

        return await self._within(wait_s, (task_id, attempt), read, lambda piece: bool(piece["data"]))

    async def _within(
        self, wait_s: float, key: Key, read: Callable[[bool], Piece], found: Callable[[Piece], bool]
    ) -> Piece:
        end = time.monotonic() + wait_s
        pause_s = LOOK_AGAIN_S_MIN
        while True:
            # Asked before the file is read: what is written in between is not missed.
            over = not self._state.holds(key)
            piece = read(over)
            if found(piece) or piece["eof"] or time.monotonic() >= end:
                return piece
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_AGAIN_S_MAX)
