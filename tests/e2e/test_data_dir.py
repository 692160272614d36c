"""The data directory of a real server: nobody else reads what it keeps, and a copy made
under load is a server again."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ADMIN_PASSWORD
from tests.e2e.live import Live, ended, serving, shell, submit


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Start on a folder as an earlier release may have left it, 0755 with files of 0644."""
    data_dir = tmp_path_factory.mktemp("private") / "data"
    (data_dir / "logs").mkdir(parents=True)
    for name in ("up.lock", "limits.sqlite", "logs/task-old.1.log"):
        (data_dir / name).touch()
        (data_dir / name).chmod(0o644)
    data_dir.chmod(0o755)
    before = os.umask(0)
    try:
        with serving(data_dir) as live:
            os.umask(before)
            yield live
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of a folder and everything below it."""
    found: dict[str, int] = {}
    for place, folders, files in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in (*folders, *files))):
            # A running server makes files, and removes them.
            with contextlib.suppress(FileNotFoundError):
                found[str(path)] = path.lstat().st_mode
    return {name: stat.S_IMODE(mode) for name, mode in found.items() if not stat.S_ISLNK(mode)}


def test_the_password_is_in_no_environment(live: Live) -> None:
    """Not in that of the process that the user started, nor in any below it, as the kernel shows them."""
    front = psutil.Process(live.process.pid)
    seen = []
    for process in (front, *front.children(recursive=True)):
        # One that has just ended has no environment.
        with contextlib.suppress(OSError):
            seen.append(Path(f"/proc/{process.pid}/environ").read_bytes())
    assert len(seen) > 8
    assert not [one for one in seen if ADMIN_PASSWORD.encode() in one]
    live.client()  # it arrived nonetheless


def test_all_that_is_kept_is_its_users_alone(live: Live) -> None:
    """Folders are 0700 and files 0600: journal, history, limits, keys, logs, what was there before too.

    A command's own /tmp has the permissions of one; the folder above it lets nobody through.
    """
    client = live.client()
    [task] = submit(client, shell("echo written"))
    assert ended(client, task)["status"] == "completed"
    found = modes(live.data_dir)
    assert {Path(name).name for name in found} >= {"journal.sqlite", "journal.sqlite-wal", "history.duckdb"}
    assert f"{task}.1.log" in {Path(name).name for name in found}
    assert [oct(mode) for name, mode in found.items() if name.endswith("/cells")] == ["0o700"]
    own = re.compile(r"/cells/\d+/(tmp|var_tmp)$")
    kept = {name: mode for name, mode in found.items() if not own.search(name)}
    assert {name: oct(mode) for name, mode in kept.items() if mode & 0o077} == {}


def helix(*words: str) -> str:
    """Run the program; return what it printed."""
    command = [str(Path(sys.executable).with_name("helix")), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_backup_under_load_is_a_server_again(live: Live, tmp_path: Path) -> None:
    """Everything acknowledged up to the seq that it names is served from the copy,
    to sessions of before too."""
    client, done = live.client(), threading.Event()
    acknowledged = submit(client, *[shell("true") for _ in range(50)])

    def load() -> None:
        while not done.wait(
            0.03
        ):  # a steady load, not all that goes: what is left of it runs after the restore
            submit(client, shell("true", labels={"load": "yes"}))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        said = helix("backup", str(tmp_path / "copy"), "--data-dir", str(live.data_dir))
    finally:
        done.set()
        thread.join()
    seq = int(said.split("facts 1 to ")[1].split(",")[0])
    assert helix("restore", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "again")).count(f"to {seq},")
    submitted = {i for i, at in live.seqs("TaskSubmitted").items() if at <= seq}
    assert submitted >= set(acknowledged)
    with serving(tmp_path / "again") as again:
        seen = again.anonymous()
        seen.headers["Authorization"] = client.headers["Authorization"]
        for task_id in submitted:
            assert seen.get(f"/tasks/{task_id}").status_code == 200
        assert (
            ended(again.client(), submit(seen, shell("true", priority="critical"))[0])["status"]
            == "completed"
        )
