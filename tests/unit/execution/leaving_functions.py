"""Functions that leave something in their folder, or do something to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def look() -> list[str]:
    """Return the working directory, what is in it, and what HELIX_ATTEMPT_DIR says."""
    return [os.getcwd(), *sorted(os.listdir(".")), os.environ["HELIX_ATTEMPT_DIR"]]


def leave_files() -> None:
    Path("result.txt").write_text("kept")
    Path("below").mkdir()
    Path("below", "more.txt").write_text("kept too")


def leave_a_closed_folder() -> None:
    leave_files()
    Path.cwd().chmod(0)


def remove_it() -> None:
    shutil.rmtree(Path.cwd())


def move_it() -> None:
    Path.cwd().rename(f"{Path.cwd()}-moved")


def put_a_file_in_its_place() -> None:
    remove_it()
    Path(os.environ["HELIX_ATTEMPT_DIR"]).write_text("no folder")


def put_a_link_in_its_place() -> None:
    remove_it()
    Path(os.environ["HELIX_ATTEMPT_DIR"]).symlink_to("/tmp")


def leave_files_and_fail() -> None:
    leave_files()
    raise ValueError("after all")


def leave_files_and_sleep() -> None:
    import time

    from helix_ray.execution.progress import progress

    leave_files()
    progress(1)
    time.sleep(600)
