"""The node worker's end of its starter: what is said when it dies, and when it does not begin."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from actors import starter_host
from actors.starter_host import StarterHost
from helix_ray.execution.assignment import Assignment, Finished, ReportItem, Started
from helix_ray.execution.effects import Key
from helix_ray.execution.starter.begin import Config
from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import CellSpec, NotOffered, Wanted
from tests.processes import processes_with

WAIT_S = 60.0
LIMITS = CommandLimits(log_bytes_max=1 << 20, kill_grace_s=1.0, kill_grace_s_max=1.0)


class Told:
    """A host, and what it says."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.said: list[ReportItem] = []
        self.returned: list[Key] = []
        self._news = asyncio.Event()
        self._log_dir = str(folder / "logs")
        config = Config(wanted, LIMITS, str(folder / "node"), str(folder / "open"))
        self.host = StarterHost(config, self._say, lambda _, keys: self.returned.extend(keys))

    def _say(self, slot_id: str, items: Sequence[ReportItem]) -> None:
        self.said += items
        self._news.set()

    def run(self, **lines: str) -> None:
        batch = tuple(
            Assignment(name, 1, {"kind": "command", "shell": line}, None, self._log_dir)
            for name, line in lines.items()
        )
        self.host.run("s1", CellSpec(), {}, batch)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await self._news.wait()
                self._news.clear()

    def finished(self, name: str) -> Finished | None:
        return next((i for i in self.said if isinstance(i, Finished) and i.task_id == name), None)


def test_a_starter_that_dies_loses_what_ran_and_another_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited behind it goes back; what comes meanwhile waits for the next starter; nothing runs on."""
    monkeypatch.setattr(starter_host, "START_AGAIN_S", 0.01)

    async def story() -> None:
        told = Told(tmp_path, Wanted("none"))
        ready = await told.host.open()
        assert await told.host.open() is ready, "safe to call again"
        told.run(first=f"exec sleep 2222.{os.getpid()}", behind="true")
        await told.until(lambda: any(isinstance(item, Started) for item in told.said))
        os.kill(ready.pid, signal.SIGKILL)
        await told.until(lambda: told.finished("first") is not None)
        lost = told.finished("first")
        assert lost is not None
        assert lost.outcome.error is not None
        assert lost.outcome.error.reason == "lost"
        assert told.returned == [("behind", 1)]
        assert not processes_with(f"sleep 2222.{os.getpid()}")
        told.run(after="exit 3")
        await told.until(lambda: told.finished("after") is not None)
        after = told.finished("after")
        assert after is not None
        assert after.outcome.exit_code == 3
        told.host.close()

    asyncio.run(story())


def test_a_starter_that_does_not_begin_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused isolation by its words, anything else as an OSError; a later try may work."""

    async def story() -> None:
        refused = Told(tmp_path, Wanted("user", "no-such-user" if os.geteuid() == 0 else None))
        with pytest.raises(NotOffered, match=r"not a user of this node|only root"):
            await refused.host.open()
        refused.host.close()
        (tmp_path / "node").write_text("a file where a folder should be")
        told = Told(tmp_path, Wanted("none"))
        with pytest.raises(OSError, match="does not begin"):
            await told.host.open()
        (tmp_path / "node").unlink()
        assert (await told.host.open()).isolation == "none"
        told.host.close()

    asyncio.run(story())
