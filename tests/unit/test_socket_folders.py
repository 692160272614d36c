"""Folders of sockets: one path to hide, private to their user, and none is left for good."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from actors import starter_config
from helix_ray.config import Settings
from helix_ray.execution.starter.isolation import cell_command
from helix_ray.execution.starter.levels import CellFolders, CellSpec, Isolation
from helix_ray.socket_folders import SocketFolder, folder_of_all

HOLD = "import sys; from helix_ray.socket_folders import SocketFolder"
HOLD += "; print(SocketFolder('up', sys.argv[1]).path, flush=True); sys.stdin.read()"


def holder(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(temporary)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """A folder whose process lives stays, whoever makes another one."""
    process, folder = holder(tmp_path)
    (folder / "socket").touch()
    SocketFolder("master", str(tmp_path)).remove()
    assert (folder / "socket").exists()
    process.kill()
    process.communicate()
    ours = SocketFolder("master", str(tmp_path))
    assert sorted(ours.path.parent.iterdir()) == [ours.path]
    ours.remove()
    ours.remove()
    assert list(folder_of_all(str(tmp_path)).iterdir()) == []


@pytest.mark.parametrize("what", ["wide", "link", "file"])
def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, what: str) -> None:
    """Anybody can make it before us: then nothing is made in it, and the message names it."""
    above = folder_of_all(str(tmp_path))
    if what == "wide":
        above.mkdir()
        above.chmod(0o755)
    elif what == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        above.symlink_to(tmp_path / "elsewhere")
    else:
        above.touch()
    with pytest.raises(OSError, match=f"helix-{os.geteuid()}"):
        SocketFolder("up", str(tmp_path))


@pytest.mark.parametrize("writable", ["", "/tmp"])
def test_a_cell_costs_the_same_however_many_folders_were_left(
    monkeypatch: pytest.MonkeyPatch, writable: str
) -> None:
    """The folder of all of them is hidden where it could be seen, and what is in it is not looked at."""
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        monkeypatch.setattr(starter_config, "SHORT_TEMPORARY", temporary)
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        before = command_of_a_cell(writable)
        folder = SocketFolder("up")
        for number in range(50):
            (folder.path.parent / f"up-{number}").mkdir()
            Path(temporary, f"helix-up-{number}").mkdir()
        after = command_of_a_cell(writable)
        all_of_them = str(folder.path.parent)
        assert [word for word in after if word not in before] == ([all_of_them] * 2 if writable else [])
        folder.remove()


def command_of_a_cell(writable: str) -> list[str]:
    settings = Settings(isolation_writable=writable, data_dir=Path("/nowhere"))
    wanted = starter_config.starter_config(settings, Path("/nowhere"), "worker-1").wanted
    folders = CellFolders("/a/tmp", "/a/var_tmp", "/a/attempts", "/run/helix/attempts")
    return cell_command(wanted, Isolation("namespaces"), CellSpec(), folders, 3)
