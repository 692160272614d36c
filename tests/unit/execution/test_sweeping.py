"""Folders of attempts: kept as long as their logs, within a bound, and gone with an erased task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helix_ray.execution.starter.sweeping import remove_attempts, sweep_attempts

NOW, DAY_S, KB = 1_000_000.0, 86_400.0, 1024


def attempt(folder: Path, name: str, age_s: float, kilobytes: int = 4) -> Path:
    """Make an attempt's folder with a file in a folder of its own."""
    made = folder / name
    (made / "out").mkdir(parents=True)
    (made / "out" / "file").write_bytes(b"x" * kilobytes * KB)
    os.utime(made, (NOW - age_s, NOW - age_s))
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_old_folders_go(tmp_path: Path) -> None:
    """By their age, whatever their size."""
    attempt(tmp_path, "old.1", 8 * DAY_S)
    attempt(tmp_path, "new.1", 1.0)
    assert sweep_attempts(tmp_path, 7 * DAY_S, 1 << 30, NOW) == 1
    assert names(tmp_path) == {"new.1"}


def test_the_oldest_go_where_they_take_too_much(tmp_path: Path) -> None:
    """As many as it takes, the newest stay."""
    for number in range(5):
        attempt(tmp_path, f"task-{number}.1", 100.0 - number, kilobytes=64)
    assert sweep_attempts(tmp_path, DAY_S, 200 * KB, NOW) == 2
    assert names(tmp_path) == {"task-2.1", "task-3.1", "task-4.1"}


def test_all_attempts_of_an_erased_task_go(tmp_path: Path) -> None:
    """Its shards and tasks whose names begin alike are others."""
    for name in ("task-1.1", "task-1.2", "task-11.1", "task-1-s0.1"):
        attempt(tmp_path, name, 1.0)
    assert remove_attempts(tmp_path, {"task-1"}) == 2
    assert names(tmp_path) == {"task-11.1", "task-1-s0.1"}


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """Before the first command."""
    assert sweep_attempts(tmp_path / "none", DAY_S, 0, NOW) == 0
    assert remove_attempts(tmp_path / "none", {"task-1"}) == 0


REMOVE = """
import os
from pathlib import Path
from helix_ray.execution.starter.sweeping import remove_folder
os.geteuid() or os.setresuid(65534, 65534, 65534)
remove_folder(Path("task-1.1"))
"""


def test_folders_that_a_command_has_closed_go_too(tmp_path: Path) -> None:
    """Go makes its modules read-only, which is no obstacle to a server that is not root either."""
    kept = attempt(tmp_path, "task-1.1", 1.0)
    (kept / "closed").mkdir(mode=0)
    (kept / "out").chmod(0o555)
    if os.geteuid() == 0:
        for place in (tmp_path, kept, *kept.rglob("*")):
            os.chown(place, 65534, 65534)
    subprocess.run([sys.executable, "-c", REMOVE], cwd=tmp_path, check=True)
    assert names(tmp_path) == set()
