"""The file of what a generator yields: whole items, within a bound, whatever is cut or killed."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution.item_file import (
    FREE_BYTES_MIN,
    HEADER,
    BadItems,
    ItemReader,
    ItemsFull,
    ItemWriter,
    items_path,
    read_bytes,
)

ITEMS = [b"", b"a", b"b" * 300, os.urandom(5000), b"\0" * 9]


def written(path: Path, items: list[bytes] = ITEMS) -> bytes:
    writer = ItemWriter(path)
    for item in items:
        writer.write(item)
    writer.close()
    writer.close()
    assert (writer.items, writer.written_bytes) == (len(items), path.stat().st_size)
    return path.read_bytes()


@pytest.mark.parametrize("step", [1, 7, 8, 9, 1000, 1 << 20])
def test_items_come_whole_whatever_a_read_cuts(tmp_path: Path, step: int) -> None:
    """In order, each once, with nothing in between."""
    written(items_path(str(tmp_path), "task-1", 2))
    reader, offset, found = ItemReader(), 0, list[bytes]()
    at_end = False
    while not at_end:
        data, at_end = read_bytes(tmp_path / "task-1.2.items", offset, step)
        offset += len(data)
        found += reader.feed(data)
    assert found == ITEMS


def test_an_item_can_be_read_when_write_returns(tmp_path: Path) -> None:
    """Before the file is closed, and before there is another one."""
    writer = ItemWriter(tmp_path / "items")
    for item in ITEMS:
        writer.write(item)
        assert ItemReader().feed((tmp_path / "items").read_bytes())[-1] == item
    writer.close()


def test_a_part_of_an_item_is_given_to_nobody(tmp_path: Path) -> None:
    """Its writer was killed: what is before it is whole."""
    data = written(tmp_path / "items")
    for end in range(len(data) - HEADER.size - 8, len(data)):
        assert ItemReader().feed(data[:end]) == ITEMS[:-1]


def test_a_length_that_no_file_has_is_refused() -> None:
    """A damaged file is not a reason to wait for ever."""
    with pytest.raises(BadItems, match="bytes"):
        ItemReader().feed(b"\xff" * 8)


def test_who_yields_nothing_makes_no_file(tmp_path: Path) -> None:
    """And a file that is missing has nothing."""
    ItemWriter(tmp_path / "items").close()
    assert list(tmp_path.iterdir()) == []
    assert read_bytes(tmp_path / "items", 0, 100) == (b"", True)


def test_the_bound_is_that_of_all_items(tmp_path: Path) -> None:
    """What is over it is not written, and the message says what to set."""
    writer = ItemWriter(tmp_path / "items", bytes_max=3 * (HEADER.size + 10))
    for _ in range(3):
        writer.write(b"x" * 10)
    with pytest.raises(
        ItemsFull, match=r"item 3: 62 bytes were yielded; the limit is 54 .*HELIX_YIELD_BYTES_MAX"
    ):
        writer.write(b"")
    writer.close()
    assert ItemReader().feed((tmp_path / "items").read_bytes()) == [b"x" * 10] * 3


def test_the_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the journal needs stays free."""
    disk = namedtuple("disk", ["f_bavail", "f_frsize"])
    monkeypatch.setattr(os, "fstatvfs", lambda _: disk(FREE_BYTES_MIN // 4096, 4096))
    writer = ItemWriter(tmp_path / "items")
    with pytest.raises(ItemsFull, match="must stay free"):
        writer.write(b"x")
    writer.close()


def test_a_write_that_takes_a_part_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, also within a header."""
    real = os.writev

    def three_bytes(descriptor: int, parts: Any) -> int:
        return real(descriptor, [part[:3] for part in parts[:1]])

    monkeypatch.setattr(os, "writev", three_bytes)
    assert ItemReader().feed(written(tmp_path / "items")) == ITEMS


def test_an_odd_id_is_no_path() -> None:
    """As for logs."""
    with pytest.raises(ValueError, match="not a valid name"):
        items_path("/logs", "../x", 1)
