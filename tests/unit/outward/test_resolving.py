"""Names whose server does not answer keep nobody else waiting."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from helix_ray.outward import resolving
from helix_ray.outward.outcome import PostFailed
from helix_ray.outward.resolving import Resolver

HANGING = 20


def test_names_that_hang_delay_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that was looked up before, nor, from their second lookup on, one that was not, although
    there are more of them than threads."""
    monkeypatch.setattr(resolving, "LOOKUPS_MAX", {"quick": 1, "unknown": 4, "hanging": 2})
    answers = threading.Event()

    def looked_up(host: str, port: int, **_: Any) -> list[Any]:
        if host.startswith("hangs"):
            answers.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))]

    async def test() -> None:
        resolver = Resolver()
        await resolver.addresses("known.example.com", 443)
        resolver.quick_s = 0.0
        names = [f"hangs-{number}.example.com" for number in range(HANGING)]
        for known in ("known.example.com", "first.example.com"):
            answers.clear()
            hanging = [asyncio.ensure_future(resolver.addresses(name, 443)) for name in names]
            await asyncio.sleep(0)
            # What waits here waits for `answers`, which are set below.
            async with asyncio.timeout(25):
                assert [str(each) for each in await resolver.addresses(known, 443)] == ["93.184.215.14"]
            answers.set()
            failures = await asyncio.gather(*hanging, return_exceptions=True)
            assert all(isinstance(failure, PostFailed) for failure in failures)
        resolver.close()

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    asyncio.run(test())
