"""A reader of published views finds what was written as a whole, or nothing, at whatever moments it looks."""

from __future__ import annotations

import itertools
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.plane import published_views
from helix_ray.plane.published_views import SIZE_BYTES, SLOT_BYTES, ViewsReader, ViewsWriter, read, write

Written = tuple[int, bytes]
# Texts that share bytes, of lengths that differ little: a mixture of two looks like either.
TEXTS = st.binary(max_size=12) | st.text("ab", max_size=12).map(str.encode)
WRITTEN = st.lists(st.tuples(st.integers(1, 2**64 - 1), TEXTS), min_size=1, max_size=4)
STEPS = st.lists(st.integers(0, 40), max_size=60)
READS = 30_000
# Writes what `_is_whole` checks until its input ends.
HAMMER = """
import mmap, os, select, sys
from helix_ray.plane.published_views import SIZE_BYTES, write
from tests.contract.test_published_views import text_of
with mmap.mmap(int(sys.argv[1]), SIZE_BYTES) as memory:
    seq = 0
    while seq % 1000 or not select.select([sys.stdin], [], [], 0)[0]:
        seq += 1
        write(memory, 0, seq, text_of(seq))
        for _ in range(seq % 100):
            pass  # long enough for a reader to find it whole now and then
        if seq == 1:
            print("writing", flush=True)
"""


class Recorded:
    """Notes each byte that is written, in order."""

    def __init__(self) -> None:
        self.bytes: list[tuple[int, int]] = []

    def __getitem__(self, part: slice) -> bytes:
        raise AssertionError("a writer reads nothing")

    def __setitem__(self, part: slice, value: bytes) -> None:
        assert part.stop - part.start == len(value)
        self.bytes += [(part.start + place, byte) for place, byte in enumerate(value)]


class Overtaken:
    """Memory in which a writer goes on, by some bytes, before each byte that is read."""

    def __init__(self, writes: Sequence[tuple[int, int]], steps: Sequence[int]) -> None:
        self._memory = bytearray(SLOT_BYTES)
        self._writes = iter(writes)
        self._steps = iter(steps)

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._byte(place) for place in range(part.start, part.stop))

    def __setitem__(self, part: slice, value: bytes) -> None:
        raise AssertionError("a reader writes nothing")

    def _byte(self, place: int) -> int:
        for _ in range(next(self._steps, 0)):
            where, byte = next(self._writes, (place, self._memory[place]))
            self._memory[where] = byte
        return self._memory[place]


def recorded(written: Sequence[Written]) -> list[tuple[int, int]]:
    memory = Recorded()
    for seq, text in written:
        write(memory, 0, seq, text)
    return memory.bytes


@given(WRITTEN, STEPS)
def test_a_torn_write_is_not_read(written: list[Written], steps: list[int]) -> None:
    """A writer that goes on between any two bytes of a reader shows it one of its views whole, or none."""
    found = read(Overtaken(recorded(written), steps), 0)
    assert found is None or found in written


@given(WRITTEN, STEPS, st.randoms(use_true_random=False))
def test_writes_in_another_order_are_not_mixed(
    written: list[Written], steps: list[int], chance: Random
) -> None:
    """Nor where a processor shows the writes in an order of its own: the checksum finds a mixture."""
    writes = recorded(written)
    chance.shuffle(writes)
    found = read(Overtaken(writes, steps), 0)
    assert found is None or found in written


def test_a_mixed_seq_is_found_where_there_is_no_text() -> None:
    """The seqs 1 and 514 share bytes with 2, and so must not their checksums."""
    checksums = {published_views._checksum(seq, b"") for seq in (1, 2, 514)}
    assert checksums.isdisjoint({1, 2, 514})
    assert len(checksums) == 3


@given(WRITTEN)
def test_what_was_written_last_is_read(written: list[Written]) -> None:
    """Once the writer is done, a reader finds its last view."""
    memory: Any = bytearray(SLOT_BYTES)
    for seq, text in written:
        write(memory, 0, seq, text)
    assert read(memory, 0) == written[-1]


def text_of(seq: int) -> bytes:
    """Return the view of a seq: long, of a length of its own, and the same number all over."""
    return b"%d." % seq * (100 + seq % 50)


def test_another_process_writes_while_it_is_read() -> None:
    """Over real memory between two processes, what is read is never mixed, and goes forward."""
    descriptor = os.memfd_create("views-of-a-test")
    os.ftruncate(descriptor, SIZE_BYTES)
    arguments = [sys.executable, "-c", HAMMER, str(descriptor)]
    pipe = subprocess.PIPE
    with (
        mmap.mmap(descriptor, SIZE_BYTES, access=mmap.ACCESS_READ) as memory,
        subprocess.Popen(arguments, stdin=pipe, stdout=pipe, pass_fds=(descriptor,)) as writer,
    ):
        assert writer.stdout is not None
        assert writer.stdout.readline()
        found: list[Written] = []
        # A busy machine may not let the writer go on for as long as many reads take.
        for reads in itertools.count():
            if reads >= READS and found and found[-1] != found[0]:
                break
            found += [] if (each := read(memory, 0)) is None else [each]
        writer.communicate(b".")
        assert writer.returncode == 0
    os.close(descriptor)
    seqs = [seq for seq, _ in found]
    assert all(text == text_of(seq) for seq, text in found)
    assert seqs == sorted(seqs)


def test_nothing_of_an_erased_task_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its view, nor what a shorter view of another task left behind itself in the same slot."""
    monkeypatch.setattr(published_views, "slot_of", lambda _: published_views.FIRST_SLOT_BYTE)
    writer = ViewsWriter(life=1, generation=1)
    try:
        reader = ViewsReader(os.getpid(), writer.descriptor, 1)

        def everything() -> bytes:
            return os.pread(writer.descriptor, SIZE_BYTES, 0)

        def view(task_id: str, title: str) -> Any:
            return {"id": task_id, "title": title}

        writer.publish(view("task-a", "SECRET" * 50), 1)
        writer.withdraw("task-a")
        assert b"SECRET" not in everything()
        assert reader.find("task-a") is None
        writer.publish(view("task-a", "SECRET" * 50), 2)
        writer.publish(view("task-b", "another"), 3)
        assert b"SECRET" in everything()
        writer.withdraw("task-a")
        assert b"SECRET" not in everything()
        assert reader.find("task-b") == (view("task-b", "another"), 3)
        reader.close()
    finally:
        writer.close()
