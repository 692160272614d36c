"""Signs checkpoints beside the commits, and records some of them.

The file has the newest one, at most a second old. A recorded one is a fact, which others are told of: at most
one in `every_s`, and only after an act that the audit has, so that its own fact and what others do when they
are told of it do not cause the next one.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from helix_ray.checkpoints import Checkpoint, CheckpointKeeper, Tree
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import AnyOrder, NoteCheckpoint, Order
from helix_ray.wire.ids import new_seed

# Carries out orders of this process.
Execute = Callable[[Sequence[AnyOrder]], Awaitable[Any]]


class Signer:
    """The checkpoints of one journal."""

    def __init__(
        self,
        data_dir: Path,
        every_s: float,
        execute: Execute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keeper = CheckpointKeeper(data_dir)
        self._every_s = every_s
        self._execute = execute
        self._clock = clock
        self._newest: tuple[Checkpoint, str] | None = None
        self._recorded = 0
        self._record_at = clock()

    def sign_newest(self, tree: Tree) -> None:
        """Sign the newest checkpoint, and do not record it: the journal is about to be closed."""
        self._keeper.keep_newest(tree)

    async def sign(self, tree: Tree, acted: int) -> None:
        """Sign the checkpoint that is due, if any, and record the newest one, if that is due. `acted` is the
        seq of the newest act of the audit."""
        if (due := self._keeper.due(tree)) is not None:
            note = await asyncio.to_thread(self._keeper.keep, due)
            self._newest = self._newest if note is None else (due, note)
        if self._newest is not None and acted > self._recorded and self._clock() >= self._record_at:
            await self._record(*self._newest)

    async def _record(self, checkpoint: Checkpoint, note: str) -> None:
        seed = new_seed()
        body = NoteCheckpoint(checkpoint.size, base64.b64encode(checkpoint.root).decode(), note)
        answers = await self._execute([Order(body, SYSTEM, f"req-{seed}", seed)])
        if isinstance(answers, list) and not isinstance(answers[0], Rejected):
            self._recorded = checkpoint.size
            self._record_at = self._clock() + self._every_s
