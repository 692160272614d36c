"""A snapshot's body in pages: it comes back as it was, and neither end has all of it in memory."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from helix_ray.journal.encoding import to_json
from helix_ray.journal.pages import PAGE_ROWS, pack, unpack

ROWS = 30 * PAGE_ROWS


def rows(count: int) -> Iterator[list[Any]]:
    return ([f"task-{i}", i, {"title": "line\nbreak ✓", "labels": {}}] for i in range(count))


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS, PAGE_ROWS + 1, 3 * PAGE_ROWS])
def test_a_body_comes_back_as_it_was(count: int) -> None:
    """Lists of any length and iterators, beside what is no list; a long list can be gone through again."""
    listed = list(rows(count))
    found = unpack(
        pack({"seq": 7, "tasks": rows(count), "finished": listed, "retired": {"failed": 2}, "none": []})
    )
    assert (found["seq"], found["retired"], list(found["none"])) == (7, {"failed": 2}, [])
    for _ in range(2):
        assert list(found["tasks"]) == list(found["finished"]) == listed


def test_neither_end_has_all_rows_in_memory() -> None:
    """Packing thirty pages and going through them takes a few pages' memory beside the packed bytes."""
    tracemalloc.start()
    try:
        whole = list(rows(ROWS))
        all_bytes = tracemalloc.get_traced_memory()[0]
        del whole
        tracemalloc.reset_peak()
        packed = pack({"tasks": rows(ROWS)})
        assert sum(1 for _ in unpack(packed)["tasks"]) == ROWS
        assert tracemalloc.get_traced_memory()[1] < all_bytes / 4
    finally:
        tracemalloc.stop()


def test_one_that_was_cut_short_or_is_none_raises() -> None:
    """Its signature says so before; should one come past it, the start does not go on with half a state."""
    packed = pack({"tasks": rows(3 * PAGE_ROWS)})
    with pytest.raises((ValueError, zlib.error)):
        list(unpack(packed[:-40])["tasks"])
    with pytest.raises(zlib.error):
        unpack(b"no snapshot")


def test_one_of_a_release_before_pages_is_read() -> None:
    """It was one JSON text."""
    assert unpack(zlib.compress(to_json({"seq": 3, "tasks": [[1]]}))) == {"seq": 3, "tasks": [[1]]}
