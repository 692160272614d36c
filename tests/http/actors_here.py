"""The plane's links to actors of this process: the engine, the history and a node,
each well, dead or hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from actors.archive import Archive
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.plane import names
from helix_ray.plane.links import LinkLost
from helix_ray.testing import MemoryControlPlane
from helix_ray.views.history import History


@dataclass
class Ways:
    """How each actor is: "well", "dead" (calls fail), "hanging" (calls never end)."""

    master: str = "well"
    historian: str = "well"
    node: str = "well"
    files: str = "well"
    asked: list[str] = field(default_factory=list)


async def in_its_way(way: str, work: Callable[[], Awaitable[Any]]) -> Any:
    if way == "hanging":
        await asyncio.Event().wait()
    if way == "dead":
        raise LinkLost("away")
    return await work()


class NodeWorker:
    """Keeps one result; logs are files of the head's machine."""

    async def fetch_result(self, task_id: str, attempt: int) -> dict[str, Any] | None:
        return {"value": "large"}

    async def read_log(self, task_id: str, attempt: int, offset: int, *_: Any) -> dict[str, Any]:
        piece = {"text": "said", "offset": offset, "next_offset": 4, "attempt": attempt, "cut_bytes": 0}
        return {**piece, "eof": True}


class Files:
    """The head's store, in pieces of a few bytes."""

    def __init__(self) -> None:
        self.of: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        self.of[digest] = data
        return digest

    async def read_blob(self, digest: str, offset: int) -> bytes | None:
        data = self.of.get(digest)
        return None if data is None else data[offset : offset + 16]


class Historian(Archive):
    async def read_log(self, *_: Any) -> None:
        return None

    async def prove(self, question: Any) -> Any:
        return await self._plane.query(question, SYSTEM)


class MasterLink:
    """The master's methods on the engine in this process."""

    board = None

    def __init__(self, ways: Ways, plane: MemoryControlPlane) -> None:
        self._ways, self._plane = ways, plane

    def close(self) -> None:
        pass

    async def call(self, method: str, *arguments: Any) -> Any:
        return await in_its_way(self._ways.master, lambda: getattr(self, method)(*arguments))

    async def execute_batch(self, orders: Any) -> list[Any]:
        return [self._plane.carry_out(order) for order in orders]

    async def query(self, question: Any, by: Principal, wait_s: float) -> Any:
        return await self._plane.query(question, by, wait_s)

    async def query_batch(self, pairs: Any) -> tuple[int, list[Any]]:
        return self._plane.engine.state.seq, [self._plane.ask(question, by) for question, by in pairs]


class Links:
    """The way to all of them."""

    def __init__(self, ways: Ways, plane: MemoryControlPlane, history: History) -> None:
        self._ways = ways
        self._master = MasterLink(ways, plane)
        self._historian = Historian(history, plane)
        self._node = NodeWorker()
        self.files = Files()

    async def master(self) -> MasterLink:
        return self._master

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        ways = self._ways
        way, called = {
            names.HISTORIAN: (ways.historian, self._historian), names.SUPERVISOR: (ways.files, self.files),
        }.get(actor, (ways.node, self._node))  # fmt: skip
        return await in_its_way(way, lambda: getattr(called, method)(*arguments))
