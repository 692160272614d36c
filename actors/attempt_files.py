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

# How long to wait before a file is looked at again, in seconds: a share of the time that nothing has come, so
# that an item is late by a tenth of the pause between two of them at most.
LOOK_AGAIN_S_MAX = 0.05
ITEMS_AGAIN_S_MIN = 0.001
WAITED_SHARE = 0.1

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

        def found(piece: LogView) -> bool:
            return bool(piece["text"])

        return await self._within(wait_s, (task_id, attempt), read, found, LOOK_AGAIN_S_MAX)

    async def read_items(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, wait_s: float
    ) -> ItemsView:
        """Return a piece of what an attempt has yielded, waiting for more as `read_log` does."""

        def read(over: bool) -> ItemsView:
            return read_yielded(self._log_dir, task_id, attempt, offset, limit_bytes, over=over)

        def found(piece: ItemsView) -> bool:
            return bool(piece["data"])

        return await self._within(wait_s, (task_id, attempt), read, found, ITEMS_AGAIN_S_MIN)

    async def _within(
        self,
        wait_s: float,
        key: Key,
        read: Callable[[bool], Piece],
        found: Callable[[Piece], bool],
        again_s_min: float,
    ) -> Piece:
        began = time.monotonic()
        while True:
            # Asked before the file is read: what is written in between is not missed.
            over = not self._state.holds(key)
            piece = read(over)
            waited_s = time.monotonic() - began
            if found(piece) or piece["eof"] or waited_s >= wait_s:
                return piece
            await asyncio.sleep(min(max(again_s_min, WAITED_SHARE * waited_s), LOOK_AGAIN_S_MAX))
