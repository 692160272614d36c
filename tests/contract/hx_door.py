"""The Python API's door in a process of its own, as a Ray job has it: one call a line
in, one answer a line out.

Ray reads its environment when it is imported, so the process that runs tests cannot join
a cluster that it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import helix_ray as hx
from tests.contract.doors import HxDoor

LINE_BYTES_MAX = 1 << 20
READY = "ready"


class FarDoor:
    """doors.Door, whose methods are called in the other process."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.author = "the job"
        self._process = process
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            number = next(self._numbers)
            future = self._waiting[number] = asyncio.get_running_loop().create_future()
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([number, method, arguments]).encode() + b"\n")
            return await future

        return call

    async def read(self) -> None:
        """Give answers to those who wait for them, until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            number, answer = json.loads(line)
            self._waiting.pop(number).set_result(tuple(answer) if isinstance(answer, list) else answer)
        for future in self._waiting.values():
            future.set_exception(ConnectionError("the process of the Python API ended"))


class _Ids(FarDoor):
    """`create` gives a list."""

    async def create(self, specs: Any, key: str) -> list[str] | None:
        found = await self.__getattr__("create")(specs, key)
        return None if found is None else list(found)


@contextlib.asynccontextmanager
async def hx_door(environment: Mapping[str, str]) -> AsyncIterator[FarDoor]:
    """Start the process, and end it with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.hx_door", env=dict(environment), limit=LINE_BYTES_MAX,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        while (line := (await process.stdout.readline()).decode().strip()) != READY:
            assert line or process.returncode is None, "the Python API could not connect"
        door = _Ids("hx", process)
        reading = asyncio.create_task(door.read())
        yield door
        process.stdin.close()
        await reading
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _serve() -> None:
    # Ray prints what its workers print, which is no answer of ours.
    answers, sys.stdout = sys.stdout, sys.stderr
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    door = HxDoor("hx", await asyncio.to_thread(hx.connect))
    print(READY, file=answers, flush=True)

    async def answer(number: int, method: str, arguments: list[Any]) -> None:
        told = await getattr(door, method)(*arguments)
        print(json.dumps([number, told]), file=answers, flush=True)

    async with asyncio.TaskGroup() as group:
        async for line in reader:
            group.create_task(answer(*json.loads(line)))
    door.cluster.close()


if __name__ == "__main__":
    asyncio.run(_serve())
