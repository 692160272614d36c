"""One suite for every ports.Blobs: what is written is read again by its digest, and nothing else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from helix_ray.blobs.errors import BlobDamaged, BlobMissing
from helix_ray.blobs.store import BlobStore
from tests.contract.blob_worlds import WORLDS, MakeBlobs

LARGE = (9 << 20) + 1
pytestmark = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


async def chunked(content: bytes, size: int) -> AsyncIterator[bytes]:
    """Yield bytes as a request's body comes in."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def of(pieces: Iterable[bytes]) -> bytes:
    """Join pieces."""
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20, LARGE])
def test_what_is_written_is_read_by_its_digest(world: MakeBlobs, tmp_path: Path, size: int) -> None:
    """Chunks of any size, and the size of the whole is said."""

    async def work() -> None:
        blobs = world(tmp_path)
        content = os.urandom(size)
        digest = sha256(content).hexdigest()
        assert not await blobs.has(digest)
        assert await blobs.write(chunked(content, 300_001)) == (digest, size)
        assert await blobs.has(digest)
        assert of([piece async for piece in await blobs.open(digest)]) == content

    asyncio.run(work())


def test_nothing_is_a_blob_too(world: MakeBlobs, tmp_path: Path) -> None:
    """A file without bytes can be uploaded."""

    async def work() -> None:
        blobs = world(tmp_path)
        digest, size = await blobs.write(chunked(b"", 1))
        assert size == 0
        assert [piece async for piece in await blobs.open(digest)] == []

    asyncio.run(work())


def test_what_is_not_there_is_missing_at_once(world: MakeBlobs, tmp_path: Path) -> None:
    """Before a byte of a response is sent."""

    async def work() -> None:
        blobs = world(tmp_path)
        for name in ("0" * 64, "../jwt.key", ""):
            assert not await blobs.has(name)
            with pytest.raises(BlobMissing):
                await blobs.open(name)

    asyncio.run(work())


def test_an_upload_that_breaks_off_leaves_nothing(world: MakeBlobs, tmp_path: Path) -> None:
    """The error is the source's own."""

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(LARGE)
        raise ConnectionResetError

    async def work() -> None:
        with pytest.raises(ConnectionResetError):
            await world(tmp_path).write(broken())
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    asyncio.run(work())


def test_a_cancelled_upload_leaves_nothing(world: MakeBlobs, tmp_path: Path) -> None:
    """Though its caller is cancelled in the middle of a write."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async def work() -> None:
        upload = asyncio.ensure_future(world(tmp_path).write(endless()))
        while not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]:
            await asyncio.sleep(0)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    asyncio.run(work())


def test_uploads_of_the_same_bytes_meet(world: MakeBlobs, tmp_path: Path) -> None:
    """At the same time, too."""

    async def work() -> None:
        blobs = world(tmp_path)
        content = os.urandom(LARGE)
        found = await asyncio.gather(*(blobs.write(chunked(content, 65_536)) for _ in range(4)))
        assert found == [(sha256(content).hexdigest(), LARGE)] * 4

    asyncio.run(work())


def test_nobody_gets_all_of_a_damaged_blob(world: MakeBlobs, tmp_path: Path) -> None:
    """It is not there any more, and can be uploaded again."""

    async def work() -> None:
        blobs = world(tmp_path)
        content = os.urandom(LARGE)
        digest, _ = await blobs.write(chunked(content, 65_536))
        path = BlobStore(tmp_path).folder / digest
        path.chmod(0o600)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        pieces: list[bytes] = []
        with pytest.raises(BlobDamaged):
            pieces.extend([piece async for piece in await blobs.open(digest)])
        assert not await blobs.has(digest)
        assert (await blobs.write(chunked(content, 65_536)))[0] == digest
        assert of([piece async for piece in await blobs.open(digest)]) == content

    asyncio.run(work())
