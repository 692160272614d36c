"""What a node has of the head's files: fetched once for all that wait, held while they are needed, and built
files are brought to the head."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from actors import node_blobs
from actors.blob_store import PART_BYTES
from actors.node_blobs import NodeBlobs, report_of_fetch, report_of_upload
from helix_ray.blobs.errors import BlobDamaged, BlobError, BlobMissing, BlobsAway, StoreFull
from helix_ray.blobs.store import BlobStore
from helix_ray.core.orders import AttemptReport
from helix_ray.execution.effects import Key

LONG = 2 * PART_BYTES + 5
ONE, TWO, THREE = (("t1", 1), ("t2", 1), ("t3", 2))
PATIENCE_S = 60.0


class Head:
    """A store that counts what is asked of it; `gate` holds every answer back, `spoil` changes bytes."""

    def __init__(self, folder: Path) -> None:
        self.store = BlobStore(folder)
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.spoil = False
        self.away = False
        self.at_once = self.at_once_max = 0

    def put(self, content: bytes) -> str:
        incoming = self.store.begin()
        incoming.write(content)
        return incoming.finish().digest

    async def part(self, digest: str, number: int) -> tuple[int, bytes]:
        self.asked[digest] += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await self.gate.wait()
        self.at_once -= 1
        if self.away:
            raise BlobsAway("it does not respond")
        with self.store.open(digest) as file:
            size = file.seek(0, 2)
            file.seek(number * PART_BYTES)
            data = file.read(PART_BYTES)
        return size, b"!" + data[1:] if self.spoil else data

    async def verify(self, digest: str) -> bool:
        return self.store.verify(digest, again=True)

    async def write(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        incoming = self.store.begin()
        async for chunk in chunks:
            incoming.write(chunk)
        return incoming.finish()


class Node:
    """A node's blobs, and what came for which attempt."""

    def __init__(self, folder: Path, budget_bytes: int | None = None) -> None:
        self.head = Head(folder / "head")
        self.store = BlobStore(folder / "node", budget_bytes)
        self.came: dict[Key, BlobError | None] = {}
        self.some = asyncio.Event()
        self.said: list[AttemptReport] = []
        self.blobs = NodeBlobs(self.store, self.head, self._came, self._heard)

    def _heard(self, report: AttemptReport) -> None:
        self.said.append(report)
        self.some.set()

    async def heard(self) -> None:
        """Wait until something was said."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.said:
                self.some.clear()
                await self.some.wait()

    def _came(self, key: Key, error: BlobError | None) -> None:
        assert key not in self.came, "said once"
        self.came[key] = error
        self.some.set()

    async def until(self, *keys: Key) -> list[BlobError | None]:
        """Wait until something is said of these attempts; return what."""
        async with asyncio.timeout(PATIENCE_S):
            while not set(keys) <= self.came.keys():
                self.some.clear()
                await self.some.wait()
        return [self.came[key] for key in keys]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_one_fetch_serves_all_that_wait(tmp_path: Path) -> None:
    """Each part is asked for once; what is held starts the next attempt at once."""

    async def work() -> None:
        node = Node(tmp_path)
        content = os.urandom(LONG)
        digest = node.head.put(content)
        assert not node.blobs.need(ONE, (digest,))
        assert not node.blobs.need(TWO, (digest,))
        assert await node.until(ONE, TWO) == [None, None]
        assert node.head.asked[digest] == 3
        assert (node.blobs.folder / digest).read_bytes() == content
        assert node.blobs.need(THREE, (digest,))
        assert not node.store.delete(digest), "it is held"

    run(work())


def test_who_waits_for_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the note of the attempt, until its files are there; `explain` shows it. A short wait is not said."""
    monkeypatch.setattr(node_blobs, "SAID_AFTER_S", 0.02)

    async def work() -> None:
        node = Node(tmp_path)
        first, second = node.head.put(b"first"), node.head.put(b"second")
        node.head.gate.clear()
        node.blobs.need(ONE, (first, second))
        await node.heard()
        assert node.said[0].note == "waiting for 2 files on its node"
        node.head.gate.set()
        assert await node.until(ONE) == [None]
        assert [(report.outcome, report.note) for report in node.said[1:]] == [("progressed", "")]
        monkeypatch.setattr(node_blobs, "SAID_AFTER_S", 100.0)
        node.blobs.need(TWO, (node.head.put(b"third"),))
        assert await node.until(TWO) == [None]
        assert len(node.said) == 2

    run(work())


def test_a_file_that_is_on_the_disk_is_not_fetched(tmp_path: Path) -> None:
    """After a restart of the node worker, say; unless it is damaged."""

    async def work() -> None:
        node = Node(tmp_path)
        digest = node.head.put(b"model")
        node.store.add(node.head.store.folder / digest)
        assert not node.blobs.need(ONE, (digest,))
        assert await node.until(ONE) == [None]
        assert not node.head.asked
        other = node.head.put(b"other")
        node.store.add(node.head.store.folder / other)
        (node.store.folder / other).chmod(0o600)
        (node.store.folder / other).write_bytes(b"wrong")
        assert not node.blobs.need(TWO, (digest, other))
        assert await node.until(TWO) == [None]
        assert (node.store.folder / other).read_bytes() == b"other"

    run(work())


def test_fetches_are_few_at_a_time(tmp_path: Path) -> None:
    """And an attempt that needs nothing does not wait behind them."""

    async def work() -> None:
        node = Node(tmp_path)
        digests = [node.head.put(bytes([number])) for number in range(6)]
        node.head.gate.clear()
        for number, digest in enumerate(digests):
            assert not node.blobs.need((f"t{number}", 1), (digest,))
        while node.head.at_once < node_blobs.FETCHES_AT_ONCE_MAX:
            await asyncio.sleep(0)
        node.head.gate.set()
        keys = [(f"t{number}", 1) for number in range(6)]
        assert await node.until(*keys) == [None] * 6
        assert node.head.at_once_max == node_blobs.FETCHES_AT_ONCE_MAX

    run(work())


def test_what_nobody_needs_any_more_is_let_go(tmp_path: Path) -> None:
    """A while after the last attempt, or at once where a file needs the room."""

    async def work() -> None:
        node = Node(tmp_path, budget_bytes=1000)
        one, two = node.head.put(b"1" * 600), node.head.put(b"2" * 600)
        node.blobs.need(ONE, (one,))
        await node.until(ONE)
        node.blobs.let_go(lambda key: key == ONE)
        assert not node.blobs.need(TWO, (two,))
        (error,) = await node.until(TWO)
        assert isinstance(error, StoreFull)
        assert node.store.has(one)
        node.blobs.let_go(lambda _: False)
        assert not node.store.delete(one), "it may be needed again soon"
        assert not node.blobs.need(THREE, (two,))
        assert await node.until(THREE) == [None]
        assert not node.store.has(one)

    run(work())


@pytest.mark.parametrize("spoil", [False, True])
def test_what_does_not_come_is_said_with_its_reason(tmp_path: Path, spoil: bool) -> None:
    """Missing on the head, or changed on the way: nothing of it stays here."""

    async def work() -> None:
        node = Node(tmp_path)
        node.head.spoil = spoil
        digest = node.head.put(b"model") if spoil else "0" * 64
        assert not node.blobs.need(ONE, (digest,))
        (error,) = await node.until(ONE)
        assert node.store.stored() == []
        assert isinstance(error, BlobMissing) is not spoil
        assert report_of_fetch(ONE, error or BlobError()).outcome == ("lost" if spoil else "failed")

    run(work())


def test_a_file_that_is_damaged_on_the_head_fails_for_good(tmp_path: Path) -> None:
    """The head sets it aside, and the reason says what to do."""

    async def work() -> None:
        node = Node(tmp_path)
        digest = node.head.put(b"model")
        (node.head.store.folder / digest).chmod(0o600)
        (node.head.store.folder / digest).write_bytes(b"wrong")
        assert not node.blobs.need(ONE, (digest,))
        (error,) = await node.until(ONE)
        assert isinstance(error, BlobDamaged)
        report = report_of_fetch(ONE, error)
        assert (report.outcome, report.retryable) == ("failed", False)
        assert report.error is not None
        assert report.error["reason"] == "file_missing"
        assert "upload it again" in report.error["message"]
        assert not node.head.store.has(digest)

    run(work())


def test_a_fetch_that_failed_is_tried_again_for_the_next_attempt(tmp_path: Path) -> None:
    """The head was away for a while."""

    async def work() -> None:
        node = Node(tmp_path)
        digest = node.head.put(b"model")
        node.head.away = True
        node.blobs.need(ONE, (digest,))
        (error,) = await node.until(ONE)
        assert isinstance(error, BlobsAway)
        assert report_of_fetch(ONE, error).outcome == "lost"
        node.head.away = False
        node.blobs.need(TWO, (digest,))
        assert await node.until(TWO) == [None]

    run(work())


def test_a_cancelled_attempt_ends_its_wait_and_not_that_of_others(tmp_path: Path) -> None:
    """The fetch goes on for them."""

    async def work() -> None:
        node = Node(tmp_path)
        digest = node.head.put(b"model")
        node.head.gate.clear()
        node.blobs.need(ONE, (digest,))
        node.blobs.need(TWO, (digest,))
        while not node.head.at_once:
            await asyncio.sleep(0)
        node.blobs.let_go(lambda key: key == TWO)
        node.head.gate.set()
        assert await node.until(TWO) == [None]
        assert ONE not in node.came
        assert node.head.asked[digest] == 1

    run(work())


def test_what_an_attempt_has_built_is_brought_to_the_head(tmp_path: Path) -> None:
    """Before its end is reported; while that takes, the attempt counts as one that is not to be started. The
    node keeps a copy only where others may need it."""

    async def work() -> None:
        node = Node(tmp_path)
        content = os.urandom(LONG)
        (tmp_path / "built.onnx").write_bytes(content)
        digest = node.store.add(tmp_path / "built.onnx").digest
        said: asyncio.Future[BlobError | None] = asyncio.get_running_loop().create_future()
        node.blobs.upload(ONE, (digest,), said.set_result)
        assert set(node.blobs.uploading()) == {ONE}
        assert await asyncio.wait_for(said, PATIENCE_S) is None
        assert not node.blobs.uploading()
        assert b"".join(node.head.store.read(digest)) == content
        assert node.store.has(digest)
        again: asyncio.Future[BlobError | None] = asyncio.get_running_loop().create_future()
        node.blobs.upload(TWO, (digest,), again.set_result, keep=False)
        assert await asyncio.wait_for(again, PATIENCE_S) is None
        assert (node.store.has(digest), node.head.store.has(digest)) == (False, True)

    run(work())


def test_a_built_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The attempt is lost then, and another one may build it."""

    async def work() -> None:
        node = Node(tmp_path)
        said: asyncio.Future[BlobError | None] = asyncio.get_running_loop().create_future()
        node.blobs.upload(ONE, ("0" * 64,), said.set_result)
        error = await asyncio.wait_for(said, PATIENCE_S)
        assert isinstance(error, BlobMissing)
        assert report_of_upload(ONE, error).outcome == "lost"
        full = report_of_upload(ONE, StoreFull("the disk is full"))
        assert full.error is not None
        assert (full.outcome, full.error["reason"]) == ("failed", "not_stored")

    run(work())
