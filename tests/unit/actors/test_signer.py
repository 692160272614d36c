"""Checkpoints are signed each second, and some are recorded for others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.signer import Signer
from helix_ray.checkpoints import Checkpoint, newest, public_keys
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, QuotaSet
from helix_ray.core.orders import Receipt
from helix_ray.journal.memory import MemoryJournal
from helix_ray.security import notes

EVERY_S = 60.0


class Master:
    """A journal and what was ordered; refuses while `full`."""

    def __init__(self, folder: Path) -> None:
        self.journal = MemoryJournal()
        self.now = 0.0
        self.full = False
        self.sizes: list[int] = []
        self.signer = Signer(folder, EVERY_S, self.execute, lambda: self.now)

    async def execute(self, orders: Sequence[Any]) -> Any:
        if self.full:
            return [Rejected(ErrorCode.SERVICE_UNAVAILABLE, "full")]
        (order,) = orders
        self.sizes.append(order.body.size)
        self.note = order.body.note
        self.add()
        return [Receipt(self.journal.head(), {})]

    def add(self) -> int:
        seq = self.journal.head() + 1
        self.journal.append([Fact(seq, 1.0, "user-1", "req-1", QuotaSet("p", {}))])
        return seq

    def sign(self, acted: int) -> None:
        asyncio.run(self.signer.sign(self.journal, acted))


def test_a_checkpoint_is_recorded_at_most_once_in_a_time_and_after_an_act(tmp_path: Path) -> None:
    """The fact that records it is not an act, so it causes no further one; the file always has the newest."""
    master = Master(tmp_path)
    master.sign(0)
    assert master.sizes == []
    acted = master.add()
    master.sign(acted)
    assert master.sizes == [1]
    for _ in range(3):
        master.now += EVERY_S
        master.sign(acted)
    assert master.sizes == [1]
    acted = master.add()
    master.sign(acted)
    assert master.sizes == [1, 3]
    text, _ = notes.read(master.note, public_keys(tmp_path))
    assert Checkpoint.of(text).size == 3
    acted = master.add()
    master.sign(acted)
    assert master.sizes == [1, 3]
    assert newest(tmp_path).splitlines()[1] == "5"
    master.now += EVERY_S
    master.sign(acted)
    assert master.sizes == [1, 3, 5]


def test_what_could_not_be_recorded_is_tried_again(tmp_path: Path) -> None:
    """A full disk costs nothing but time."""
    master = Master(tmp_path)
    master.full = True
    acted = master.add()
    master.sign(acted)
    master.full = False
    master.sign(acted)
    assert master.sizes == [1]
