"""What a session or a node ends of the stopped processes below it: Ray's own, and nobody else's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.stopped import stop_of
from launcher.up.stopped_below import StoppedBelow
from tests.ray.signals import until

SLEEP = "/bin/sleep"


@pytest.fixture
def children(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """An actor, a raylet, and a program that a user started, all stopped."""
    raylet = tmp_path / "raylet"
    shutil.copy(SLEEP, raylet)
    programs = {"ray::Master": SLEEP, "raylet": str(raylet), "sleep": SLEEP}
    found = {name: subprocess.Popen([name, "600"], executable=path) for name, path in programs.items()}
    for child in found.values():
        child.send_signal(signal.SIGSTOP)
        until(lambda pid=child.pid: stop_of(pid) is not None)  # type: ignore[misc]
    yield found
    for child in found.values():
        child.kill()
        child.wait()


def test_only_what_is_rays_is_ended(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """It is named with its reason; a user's program may stand as long as its user likes."""
    said: list[str] = []
    below = StoppedBelow(2.0, said.append, os.getpid())
    for now in (100.0, 101.0):
        below.look(now)
    assert said == []
    below.look(102.0)
    for name in ("ray::Master", "raylet"):
        assert children[name].wait(60) == -signal.SIGKILL
        assert f"{name} (pid {children[name].pid}) was suspended for 2 s and was killed" in said
    below.look(104.0)
    assert stop_of(children["sleep"].pid) is not None
    assert len(said) == 2
