"""The first file that `helix up` writes: a full disk is waited for, and said once; what will
not pass ends the start."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from launcher.up import front
from launcher.up.data_dir import Instance

INSTANCE = Instance(pid=1, start_ticks=1, id="a", host="127.0.0.1", port=1)
FOLDER = Path("/data")


class Disk:
    """Refuses to be written with each of these errors in turn."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.written: list[Instance] = []

    def write(self, folder: Path, instance: Instance) -> None:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        self.written.append(instance)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for room without a pause."""
    monkeypatch.setattr(front, "ROOM_EVERY_S", 0.0)


def test_a_full_disk_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without room, then over a quota, then with room: it is written, after one sentence."""
    disk = Disk(errno.ENOSPC, errno.EDQUOT, errno.ENOSPC)
    monkeypatch.setattr(front.home, "DATA_DIR", disk)
    front._note(FOLDER, INSTANCE)
    assert disk.written == [INSTANCE]
    assert capfd.readouterr().err == "helix up: waiting for free space in /data: No space left on device\n"


def test_a_folder_that_may_not_be_written_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes it writable by waiting."""
    monkeypatch.setattr(front.home, "DATA_DIR", Disk(errno.EROFS))
    with pytest.raises(OSError, match="Read-only"):
        front._note(FOLDER, INSTANCE)
