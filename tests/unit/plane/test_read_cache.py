"""What a replica keeps is current, or it is not used: over a real file that two mappings share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.access import Principal
from helix_ray.plane.published_views import SIZE_BYTES as VIEWS_BYTES
from helix_ray.plane.published_views import VIEW_BYTES_MAX, ViewsReader, slot_of
from helix_ray.plane.read_board import (
    FILE_NAME,
    FIRST_SLOT,
    SIZE_BYTES,
    SLOTS,
    WORD_BYTES,
    BoardReader,
    BoardWriter,
)
from helix_ray.plane.read_cache import TASKS_MAX, UNSEEN, ReadCache

OWNER = Principal("user-1", "one", ("developer",))
STRANGER = Principal("user-2", "two", ("developer",))
VIEWER = Principal("user-3", "three", ("viewer",))


def view(task_id: str = "task-1", status: str = "pending") -> dict[str, Any]:
    return {"id": task_id, "owner": OWNER.id, "holder": None, "project_id": None, "status": status}


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardWriter]:
    writer = BoardWriter(tmp_path)
    yield writer
    writer.close()


@pytest.fixture
def cache(board: BoardWriter) -> Iterator[ReadCache]:
    kept = ReadCache()
    kept.attach(board.path)
    yield kept
    kept.detach()


def keep(cache: ReadCache, seq: int, task_id: str = "task-1") -> None:
    cache.keep(task_id, view(task_id), seq, cache.generation())


def test_what_did_not_change_is_answered_from_here(board: BoardWriter, cache: ReadCache) -> None:
    """A change up to the seq of the answer is in the answer."""
    board.note(["task-1"], 7)
    keep(cache, 7)
    assert cache.task("task-1", OWNER) == view()


def test_a_change_is_seen_at_once(board: BoardWriter, cache: ReadCache) -> None:
    """The next read after the master's note asks the master; so does one whose answer
    was overtaken on its way."""
    keep(cache, 7)
    board.note(["task-1"], 8)
    assert cache.task("task-1", OWNER) is None
    keep(cache, 7)
    assert cache.task("task-1", OWNER) is None


def test_others_changes_leave_it_alone(board: BoardWriter, cache: ReadCache) -> None:
    """A busy cluster does not empty the cache: but for one in 65,536, other tasks have other slots."""
    keep(cache, 7)
    board.note((f"task-{number}" for number in range(2, 100)), 1000)
    assert cache.task("task-1", OWNER) == view()


def test_only_those_who_may_see_it_get_it(cache: ReadCache) -> None:
    """The rule of the master, applied here."""
    keep(cache, 7)
    assert cache.task("task-1", STRANGER) is None
    assert cache.task("task-1", VIEWER) == view()


def test_another_master_makes_everything_unknown(
    tmp_path: Path, board: BoardWriter, cache: ReadCache
) -> None:
    """What the first committed and could not note any more is unknown; an answer of the
    first is not kept either."""
    keep(cache, 7)
    asked_under = cache.generation()
    second = BoardWriter(tmp_path)
    assert cache.task("task-1", OWNER) is None
    cache.keep("task-1", view(), 7, asked_under)
    assert cache.task("task-1", OWNER) is None
    keep(cache, 9)
    assert cache.task("task-1", OWNER) == view()
    second.close()


def test_what_the_master_publishes_is_read_here(board: BoardWriter, cache: ReadCache) -> None:
    """The first read after a change asks nobody, and the view is kept when its slot goes to another task."""
    keep(cache, 7)
    board.note(["task-1"], 8)
    board.publish(view(status="running"), 9)
    assert cache.task("task-1", OWNER) == view(status="running")
    assert cache.task("task-1", STRANGER) is None
    board.publish(view(other_of_slot("task-1")), 10)
    assert cache.task("task-1", OWNER) == view(status="running")


def test_a_published_view_of_before_is_not_used(board: BoardWriter, cache: ReadCache) -> None:
    """What has changed since, another task of the slot, and what is too large or no JSON are asked for."""
    board.publish(view(), 8)
    board.note(["task-1"], 9)
    assert cache.task("task-1", OWNER) is None
    board.publish(view(other_of_slot("task-1")), 10)
    assert cache.task("task-1", OWNER) is None
    board.publish({**view("task-2"), "title": "t" * VIEW_BYTES_MAX}, 10)
    board.publish({**view("task-2"), "title": "\ud800"}, 10)
    assert cache.task("task-2", OWNER) is None


def other_of_slot(task_id: str) -> str:
    """Return another task whose view goes where this one's does."""
    names = (f"task-other-{number}" for number in range(10**6))
    return next(name for name in names if slot_of(name) == slot_of(task_id))


def test_views_of_another_master_are_not_used(tmp_path: Path, board: BoardWriter, cache: ReadCache) -> None:
    """What was published by the first is unknown under the second, whose views are
    used from the next link on."""
    board.publish(view(), 7)
    second = BoardWriter(tmp_path)
    assert cache.task("task-1", OWNER) is None
    second.publish(view(status="running"), 9)
    cache.attach(second.path)
    assert cache.task("task-1", OWNER) == view(status="running")
    second.close()


def test_without_published_views_the_board_is_of_use(
    tmp_path: Path, cache: ReadCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory that cannot be reached, or has become another process's, costs the first reads only."""
    gone = BoardWriter(tmp_path)
    gone.close()
    cache.attach(gone.path)
    assert "asks the master" in caplog.text
    keep(cache, 7)
    assert cache.task("task-1", OWNER) == view()
    handle = os.memfd_create("of-another-life")
    os.ftruncate(handle, VIEWS_BYTES)
    with pytest.raises(ValueError, match="another master"):
        ViewsReader(os.getpid(), handle, 1)
    os.close(handle)


def test_without_a_board_nothing_is_kept(tmp_path: Path) -> None:
    """Another host, a disk that cannot be written: every read asks the master."""
    cache = ReadCache()
    for path in (None, str(tmp_path / "missing")):
        cache.attach(path)
        assert cache.generation() == UNSEEN
        keep(cache, 7)
        assert cache.task("task-1", OWNER) is None


def test_it_is_bounded(cache: ReadCache) -> None:
    """The oldest goes."""
    for number in range(TASKS_MAX + 1):
        keep(cache, 1, f"task-{number}")
    assert cache.task("task-0", OWNER) is None
    assert cache.task(f"task-{TASKS_MAX}", OWNER) is not None


def test_the_file_is_its_users_alone_and_whole(tmp_path: Path, board: BoardWriter) -> None:
    """All of it has room on the disk before the first page is written; a link in its place is refused."""
    found = (tmp_path / FILE_NAME).stat()
    assert (found.st_mode & 0o777, found.st_size) == (0o600, SIZE_BYTES)
    assert found.st_blocks * 512 >= SIZE_BYTES == (FIRST_SLOT + SLOTS) * WORD_BYTES
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / FILE_NAME).symlink_to(tmp_path / FILE_NAME)
    with pytest.raises(OSError, match="symbolic link"):
        BoardWriter(tmp_path / "elsewhere")
    reader = BoardReader(board.path)
    board.note(["task-1"], 2**63)
    assert reader.changed_at("task-1") == 2**63
    reader.close()
    reader.close()
