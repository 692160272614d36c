"""A function begins in an empty folder of its own; what it leaves there is kept as its attempt's."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution.own_folder import FolderWatch, OwnFolder, executors_folder, functions_folder
from tests.time_limits import with_time_enough

NUMBERS = count()
TIMED_OUT = "leave_files_and_sleep"


def call(name: str) -> dict[str, Any]:
    return {"kind": "function", "function": f"leaving_functions:{name}"}


def ask(slot: Any, name: str) -> tuple[str, Any]:
    """Run a function as a task of its own."""

    def attempt(timeout_s: float | None) -> tuple[str, Any]:
        task_id = f"task-{next(NUMBERS)}"
        return task_id, slot.run(task_id, call(name), timeout_s=timeout_s)

    if name == TIMED_OUT:
        return with_time_enough(attempt, lambda made: bool(slot.progress(made[0])))
    return attempt(None)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("leave_files", True),
        ("leave_a_closed_folder", True),
        ("leave_files_and_fail", True),
        (TIMED_OUT, True),
        ("remove_it", False),
        ("move_it", False),
        ("put_a_file_in_its_place", False),
        ("put_a_link_in_its_place", False),
    ],
)
def test_the_next_function_finds_an_empty_folder(slot: Any, name: str, kept: bool) -> None:
    """Whatever one does to its folder, the next one has an empty one at the same place; files are kept."""
    place = str(executors_folder(slot.attempts, slot.executor_id) / "here")
    task_id, _ = ask(slot, name)
    _, outcome = ask(slot, "look")
    assert outcome.result == [place, place]
    folder = slot.attempts / f"{task_id}.1"
    assert folder.is_dir() == kept
    if kept:
        assert (folder / "result.txt").read_text() == "kept"
        assert (folder / "below" / "more.txt").read_text() == "kept too"


def test_without_watches_the_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system limits how many a user may have (fs.inotify.max_user_instances)."""
    monkeypatch.setenv("HELIX_ATTEMPT_DIR", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FolderWatch, "of", lambda folder: None)
    attempts = tmp_path / "commands" / "attempts"
    attempts.mkdir(parents=True)
    folder = OwnFolder(attempts, "executor-1")
    folder.end("task-1", 1)
    Path("file").touch()
    folder.end("task-2", 1)
    assert (os.listdir(attempts), os.listdir(".")) == (["task-2.1"], [])


def test_a_function_that_leaves_nothing_makes_no_folder(slot: Any) -> None:
    """A thousand functions that write no files are a thousand attempts without a folder."""
    task_id, _ = ask(slot, "look")
    assert not (slot.attempts / f"{task_id}.1").exists()


def test_an_executor_that_ends_leaves_no_folder(node_of: Callable[..., Any]) -> None:
    """At the end of its connection it removes what it had."""
    node = node_of()
    assert ask(node, "look")[1].ok
    assert os.listdir(functions_folder(node.attempts)) == [node.executor_id]
    node.connection.close()
    node.process.wait(60)
    assert os.listdir(functions_folder(node.attempts)) == []


def test_in_a_jobs_working_dir_a_function_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a folder of its own all the same, which HELIX_ATTEMPT_DIR names."""
    monkeypatch.setenv("HELIX_ATTEMPT_DIR", "")
    job = tmp_path / "job"
    job.mkdir()
    monkeypatch.chdir(job)
    attempts = tmp_path / "commands" / "attempts"
    attempts.mkdir(parents=True)
    folder = OwnFolder(attempts, "executor-1", stay=True)
    Path(os.environ["HELIX_ATTEMPT_DIR"], "file").touch()
    assert folder.end("task-1", 2) is False
    assert (attempts / "task-1.2" / "file").exists()
    assert Path.cwd() == job


def test_where_no_folder_can_be_made_functions_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run in the root folder, never where the server was started."""
    monkeypatch.setenv("HELIX_ATTEMPT_DIR", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    folder = OwnFolder(tmp_path / "file" / "attempts", "executor-1")
    assert Path.cwd() == Path("/")
    folder.end("task-1", 1)
    assert Path.cwd() == Path("/")
