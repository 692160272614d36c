"""The life of an actor: what it needs is opened again and again, a reason is said once,
and what is fatal stays so."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from actors import life
from actors.life import Fatal, Life, reason_of
from helix_ray.ports import NotReady

WAIT_S_MAX = 60.0


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next try come at once."""
    monkeypatch.setattr(life, "AGAIN_S_MIN", 0.001)
    monkeypatch.setattr(life, "AGAIN_S_MAX", 0.002)
    monkeypatch.setattr(life, "GO_ON_S", 0.001)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", "/data/journal.sqlite")


def test_an_opening_that_fails_is_tried_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Ten failures of one reason are one warning; then it lives, its loops run, and that is said, too."""
    tries, looped = [], asyncio.Event()

    async def opening() -> None:
        tries.append(1)
        if len(tries) <= 10:
            raise full_disk()

    async def loop() -> None:
        looped.set()
        await asyncio.Event().wait()

    async def run() -> None:
        one = Life("Keeper", opening, [loop])
        one.begin()
        one.begin()
        refused = await one.not_ready(WAIT_S_MAX)
        assert refused == NotReady("journal.sqlite: No space left on device")
        await asyncio.wait_for(looped.wait(), WAIT_S_MAX)
        assert one.lives
        assert await one.not_ready(0) is None
        one.stop()

    with caplog.at_level(logging.INFO, "actors.life"):
        asyncio.run(run())
    assert len(tries) == 11
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "No space left on device" in said[0]
    assert said[1] == "Keeper is ready after 11 tries"


def test_every_change_of_the_reason_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Who follows the log knows what it waits for now."""
    left = [
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.EACCES, "Permission denied"),
        full_disk(),
    ]

    async def opening() -> None:
        if left:
            raise left.pop(0)

    async def run() -> None:
        one = Life("Keeper", opening)
        one.begin()
        while not one.lives:
            await one.not_ready(WAIT_S_MAX)
            await asyncio.sleep(0)
        one.stop()

    with caplog.at_level(logging.WARNING, "actors.life"):
        asyncio.run(run())
    assert len(caplog.records) == 2


def test_a_fatal_reason_is_not_tried_again() -> None:
    """The journal is damaged: nobody hammers it, and whoever asks gets the reason."""
    tries = []

    async def opening() -> None:
        tries.append(1)
        raise Fatal("fact 7 is missing")

    async def run() -> None:
        one = Life("Keeper", opening)
        one.begin()
        assert await one.not_ready(WAIT_S_MAX) == NotReady("fact 7 is missing")
        assert one.fatal
        await asyncio.sleep(0.02)
        one.stop()

    asyncio.run(run())
    assert len(tries) == 1


def test_whoever_comes_during_the_first_try_waits_for_its_end() -> None:
    """A master that folds for a while is waited for, up to a limit, and then has no reason to give yet."""
    go = asyncio.Event()

    async def run() -> None:
        async def opening() -> None:
            await go.wait()

        one = Life("Keeper", opening)
        one.begin()
        assert await one.not_ready(0.01) == NotReady(None)
        waiting = asyncio.ensure_future(one.not_ready(WAIT_S_MAX))
        await asyncio.sleep(0)
        go.set()
        assert await waiting is None
        one.stop()

    asyncio.run(run())


def test_a_loop_that_fails_goes_on() -> None:
    """One bad round is logged, and the next one comes."""
    rounds: list[int] = []
    enough = asyncio.Event()

    async def opening() -> None:
        pass

    async def loop() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("once")
        enough.set()
        await asyncio.Event().wait()

    async def run() -> None:
        one = Life("Keeper", opening, [loop])
        one.begin()
        await asyncio.wait_for(enough.wait(), WAIT_S_MAX)
        one.stop()
        assert await one.not_ready(0) == NotReady("it is stopping")

    asyncio.run(run())
    assert len(rounds) == 2


def test_a_reason_names_no_folder() -> None:
    """A reason reaches whoever asks /readyz: it says what is wrong, not where things lie."""
    assert reason_of(full_disk()) == "journal.sqlite: No space left on device"
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
    message = 'IO Error: Cannot open file "/home/ada/.helix-ray/history.duckdb": Permission denied'
    said = 'RuntimeError: IO Error: Cannot open file "history.duckdb": Permission denied'
    assert reason_of(RuntimeError(message)) == said
