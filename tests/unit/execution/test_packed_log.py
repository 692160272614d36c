"""Logs that are packed: every byte that is kept is found at its own offset."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.execution import packed_log
from helix_ray.execution.packed_log import (
    BLOCK_BYTES,
    LINE_BYTES_MAX,
    disk_bytes,
    pack,
    packed_path,
    read,
    remove_log,
)

WRITES = st.lists(
    st.tuples(st.sampled_from([b"x", b"line\n", "ü😀".encode(), b"\xff\0"]), st.integers(1, 9_000)),
    max_size=12,
)


def all_of(path: Path, limit_bytes: int = 1 << 20) -> tuple[dict[int, bytes], int]:
    """Return the kept parts by their offsets, and how much is missing."""
    parts: dict[int, bytes] = {}
    offset, last = 0, -1
    while True:
        found = read(path, offset, limit_bytes)
        if found.start != offset or last < 0:
            last = found.start
        parts[last] = parts.get(last, b"") + found.data
        offset = found.start + len(found.data)
        if not found.more:
            return parts, found.cut_bytes


@settings(deadline=None, max_examples=60)
@given(WRITES, st.integers(4_000, 60_000), st.sampled_from([700, 5_000, 1 << 20]))
def test_beginning_and_end_are_kept_at_their_offsets(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[bytes, int]], cap: int, limit_bytes: int
) -> None:
    """Packed after each write or not at all until the end: what is read is what was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_log, "BLOCK_BYTES", 2_048)
        path = tmp_path_factory.mktemp("log") / "t.1.log"
        written = b""
        path.write_bytes(b"")
        for word, count in writes:
            with path.open("ab") as file:
                file.write(word * count)
            written += word * count
            if count % 2:
                pack(path, cap, over=False)
                check(path, written, cap, limit_bytes, over=False)
        pack(path, cap, over=True)
        check(path, written, cap, limit_bytes, over=True)
        before = packed_path(path).exists() and packed_path(path).read_bytes()
        pack(path, cap, over=True)
        assert (packed_path(path).exists() and packed_path(path).read_bytes()) == before


def check(path: Path, written: bytes, cap: int, limit_bytes: int, *, over: bool) -> None:
    parts, cut_bytes = all_of(path, limit_bytes)
    assert all(written[at : at + len(part)] == part for at, part in parts.items())
    assert sum(map(len, parts.values())) + cut_bytes == len(written)
    kept = len(written) - cut_bytes
    if len(written) <= cap:
        assert cut_bytes == 0
    elif over and len(written) > 2_048:
        assert cap - 3 * LINE_BYTES_MAX <= kept <= cap
        assert len(parts) == 2


def test_fifty_megabytes_of_text_are_kept_whole_and_small(tmp_path: Path) -> None:
    """A log of a training run, read at any offset."""
    path = tmp_path / "t.1.log"
    line = "epoch {0:6d} step {0:9d} loss 0.{0:08d} lr 1e-4 images/s {0:7d}\n"
    text = "".join(line.format(n * 7919) for n in range(700_000)).encode()
    path.write_bytes(text)
    pack(path, 64 << 20, over=True)
    assert len(text) > 50_000_000
    assert disk_bytes(path) < len(text) / 2
    for offset in (0, 1, BLOCK_BYTES, len(text) // 2, len(text) - 1, len(text)):
        found = read(path, offset, 300_000)
        assert (found.start, found.data) == (offset, text[offset : offset + 300_000])
        assert (found.more, found.cut_bytes) == (offset + 300_000 < len(text), 0)
    remove_log(path)
    assert list(tmp_path.iterdir()) == []


def test_a_packer_that_was_killed_loses_nothing(tmp_path: Path) -> None:
    """A part of a record at the end is no record; the next packer begins there again."""
    path = tmp_path / "t.1.log"
    text = random.Random(2).randbytes(3 * BLOCK_BYTES)
    path.write_bytes(text)
    pack(path, 64 << 20, over=False)
    whole = packed_path(path).read_bytes()
    path.write_bytes(text)
    packed_path(path).write_bytes(whole[:-100])
    assert all_of(path) == ({0: text}, 0)
    pack(path, 64 << 20, over=True)
    assert packed_path(path).read_bytes() == whole
    assert all_of(path) == ({0: text}, 0)


def test_readers_see_no_holes_while_a_log_is_packed(tmp_path: Path) -> None:
    """Who reads while blocks move finds each byte in one place or the other."""
    path = tmp_path / "t.1.log"
    text = b"0123456789abcde\n" * (512 * 1024)
    path.write_bytes(text)
    packing = threading.Thread(target=pack, args=(path, 64 << 20), kwargs={"over": True})
    packing.start()
    while packing.is_alive():
        for offset in range(0, len(text), 1 << 20):
            assert b"\0" not in read(path, offset, 1 << 18).data
    packing.join()
    assert all_of(path) == ({0: text}, 0)
