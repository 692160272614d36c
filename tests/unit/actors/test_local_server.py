"""Calls over the master's Unix socket: answered out of order, failed one by one, lost together."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.local_server import LocalServer
from helix_ray.plane.links import CallFailed, LinkLost
from helix_ray.plane.local_link import LocalLink


class Desk:
    """What the server serves."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def echo(self, value: Any) -> Any:
        """Return what was sent."""
        return value

    async def wait(self) -> str:
        """Answer when the gate opens."""
        await self.gate.wait()
        return "open"

    async def unsendable(self) -> Any:
        """Return what cannot be pickled."""
        return lambda: None

    def echo_at_once(self, value: Any) -> Any:
        """Return numbers in the turn that they come in; leave texts to `echo`, and raise at anything else."""
        if isinstance(value, int):
            return ("at once", value)
        if isinstance(value, str):
            return None
        raise TypeError("neither number nor text")

    async def fail(self) -> None:
        """Raise."""
        raise ValueError("broken")


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Desk, LocalServer, LocalLink]]:
    """Serve a desk and connect to it."""
    desk = Desk()
    server = LocalServer(
        {"echo": desk.echo, "wait": desk.wait, "fail": desk.fail, "unsendable": desk.unsendable},
        {"echo": desk.echo_at_once, "unsendable": lambda: lambda: None},
    )
    link = await LocalLink.connect(await server.listen())
    try:
        yield desk, server, link
    finally:
        link.close()
        server.close()
        await asyncio.sleep(0)


def run(work: Callable[[Desk, LocalServer, LocalLink], Awaitable[None]]) -> None:
    """Run a test's coroutine on a linked desk."""

    async def go() -> None:
        async with linked() as parts:
            async with asyncio.timeout(60):
                await work(*parts)

    asyncio.run(go())


def test_values_of_any_size_come_back() -> None:
    """Several calls at once, one of them of megabytes."""

    async def work(desk: Desk, server: LocalServer, link: LocalLink) -> None:
        values = ["one", "two", {"three": [3.0]}, b"x" * 5_000_000]
        assert await asyncio.gather(*(link.call("echo", value) for value in values)) == values

    run(work)


def test_what_can_be_answered_at_once_is() -> None:
    """What the method for this does not respond, or fails on, is answered by the one that may wait."""

    async def work(desk: Desk, server: LocalServer, link: LocalLink) -> None:
        answers = await asyncio.gather(*(link.call("echo", value) for value in (7, "text", [1])))
        assert answers == [("at once", 7), "text", [1]]

    run(work)


def test_a_slow_call_holds_up_no_other() -> None:
    """Answers come as they are ready."""

    async def work(desk: Desk, server: LocalServer, link: LocalLink) -> None:
        slow = asyncio.ensure_future(link.call("wait"))
        assert await link.call("echo", "1") == "1"
        assert not slow.done()
        desk.gate.set()
        assert await slow == "open"

    run(work)


def test_a_call_that_fails_fails_alone() -> None:
    """The error is told, the connection stays; so with a method that is not served."""

    async def work(desk: Desk, server: LocalServer, link: LocalLink) -> None:
        with pytest.raises(CallFailed, match="broken"):
            await link.call("fail")
        with pytest.raises(CallFailed, match="gate"):
            await link.call("gate")
        with pytest.raises(CallFailed, match="pickle"):
            await link.call("unsendable")
        assert await link.call("echo", "2") == "2"

    run(work)


def test_callers_hear_when_the_server_is_gone() -> None:
    """Those who wait and those who come later get LinkLost, and the socket's folder is removed."""

    async def work(desk: Desk, server: LocalServer, link: LocalLink) -> None:
        path = Path(await server.listen())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        waiting = asyncio.ensure_future(link.call("wait"))
        await link.call("echo", 0)
        server.close()
        with pytest.raises(LinkLost):
            await waiting
        with pytest.raises(LinkLost):
            await link.call("echo", "1")
        assert not path.parent.exists()

    run(work)


def test_a_path_is_told_only_when_it_can_be_connected_to() -> None:
    """Two that ask at once, as after a master's restart, both reach the socket."""

    async def go() -> None:
        server = LocalServer({})
        paths = await asyncio.gather(*(_listen_and_connect(server) for _ in range(5)))
        assert len(set(paths)) == 1
        server.close()
        await asyncio.sleep(0)

    asyncio.run(go())


async def _listen_and_connect(server: LocalServer) -> str:
    path = await server.listen()
    link = await LocalLink.connect(path)
    link.close()
    await asyncio.sleep(0)
    return path


def test_a_socket_that_is_not_there_is_an_os_error() -> None:
    """A process of another host finds out at once and calls through Ray."""

    async def go() -> None:
        with pytest.raises(OSError, match="No such file"):
            await LocalLink.connect("/nowhere/master.sock")

    asyncio.run(go())
