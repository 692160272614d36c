"""Answers devices: their changes from the SyncDevices actor that holds them, their status from all of them.

The master is asked first: it knows whether the device is still enrolled, and the seq that the answer must not
be older than. So a device sees every write that was acknowledged before it asked, and one that was revoked
sees nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.follows import shard_of
from helix_ray.core.questions import DeviceBoard, PullChanges, QuestionKind, SyncStatus
from helix_ray.core.views.sync import SyncedDevice
from helix_ray.core.visibility import administers
from helix_ray.plane.calls import Calls
from helix_ray.plane.nodes import Asks
from helix_ray.plane.responses import Response, as_answer, response_of


class Synced:
    """Asks the SyncDevices actors."""

    def __init__(self, ask: Asks, calls: Calls, shards: int) -> None:
        self._ask = ask
        self._calls = calls
        self._shards = shards

    async def answer(self, question: QuestionKind[Any], by: Principal, wait_s: float) -> Answer:
        """Answer a question about synced devices; waits for changes up to `wait_s` seconds."""
        if isinstance(question, PullChanges):
            return await self._pull(question, by, wait_s)
        if isinstance(question, SyncStatus):
            return await self._status(by)
        raise TypeError(f"{type(question).__name__} is not answered by SyncDevices")

    async def _pull(self, question: PullChanges, by: Principal, wait_s: float) -> Answer:
        board = await self._ask(DeviceBoard((question.device_id,)), SYSTEM)
        if isinstance(board, Rejected):
            return board
        if not any(device["user"] == by.id for device in board["devices"]):
            return not_found("Device", question.device_id)
        shard = shard_of(question.device_id, self._shards)
        reply: Response[Any] = response_of(
            await self._calls.sync(shard, "pull", question, by.id, board["seq"], wait_s, wait_s=wait_s)
        )
        found: Answer = as_answer(reply)
        return found

    async def _status(self, by: Principal) -> Answer:
        """Without devices there may be no actor, and none is asked."""
        board = await self._ask(DeviceBoard(()), SYSTEM)
        if isinstance(board, Rejected):
            return board
        if not board["total"]:
            return {"devices": []}
        user = None if administers(by) else by.id
        replies = await asyncio.gather(
            *(self._calls.sync(shard, "status", user, board["seq"]) for shard in range(self._shards))
        )
        devices: list[SyncedDevice] = []
        for reply in replies:
            found = as_answer(response_of(reply))
            if isinstance(found, Rejected):
                return found
            devices += found["devices"]
        return {"devices": sorted(devices, key=_id_of)}


def _id_of(device: SyncedDevice) -> str:
    return device["device_id"]
