"""The head's store for nodes: parts are shared, uploads are repeated without harm, and given up when idle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

from actors import blob_store
from actors.blob_link import RayBlobs
from actors.blob_store import PART_BYTES, SHARED_S, UPLOAD_IDLE_S_MAX, BlobPart, BlobService
from helix_ray.blobs.errors import BlobError, BlobMissing, BlobsAway, UploadLost
from helix_ray.blobs.incoming import FOLDER
from helix_ray.blobs.store import BlobStore
from helix_ray.ports import NotReady
from tests.contract.blob_worlds import LinksHere, here, service_of

T = TypeVar("T")


class Shelf:
    """Counts what is put into the object store."""

    def __init__(self) -> None:
        self.puts = 0

    def __call__(self, data: bytes) -> bytes:
        self.puts += 1
        return data


async def part_of(service: BlobService, digest: str, number: int) -> BlobPart:
    found = await service.part(digest, number)
    assert isinstance(found, BlobPart)
    return found


def within(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    return asyncio.run(run())


def test_nodes_that_read_one_blob_share_its_parts(tmp_path: Path) -> None:
    """A part is put into the object store once for all of them, until nobody has asked for it for a while."""

    async def work() -> None:
        shelf = Shelf()
        store = BlobStore(tmp_path)
        service = BlobService(store, shelf)
        service.life.begin()
        content = os.urandom(PART_BYTES + 10)
        (tmp_path / "f").write_bytes(content)
        digest = store.add(tmp_path / "f").digest
        found = await asyncio.gather(*(part_of(service, digest, number % 2) for number in range(20)))
        assert shelf.puts == 2
        assert b"".join(found[number].reference[0] for number in range(2)) == content
        assert {part.size for part in found} == {PART_BYTES + 10}
        await service.tend(asyncio.get_running_loop().time() + SHARED_S + 1)
        await part_of(service, digest, 0)
        assert shelf.puts == 3

    within(work())


def test_few_parts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the blob is."""
    monkeypatch.setattr(blob_store, "PART_BYTES", 10)

    async def work() -> None:
        shelf = Shelf()
        service = BlobService(BlobStore(tmp_path), shelf)
        service.life.begin()
        written = await service.write("u", 0, bytes(1000))
        assert written == 1000
        done = await service.finish("u", 1000)
        assert isinstance(done, tuple)
        for number in range(100):
            await part_of(service, done[0], number)
        assert len(service._shared) == blob_store.SHARED_PARTS_MAX

    within(work())


def test_a_missing_blob_is_not_remembered_as_missing(tmp_path: Path) -> None:
    """It may be uploaded next."""

    async def work() -> None:
        service = service_of(tmp_path)
        service.life.begin()
        digest = sha256(b"model").hexdigest()
        assert isinstance(await service.part(digest, 0), BlobMissing)
        await service.write("u", 0, b"model")
        await service.finish("u", 5)
        assert (await part_of(service, digest, 0)).size == 5

    within(work())


def test_a_repeated_part_is_written_once(tmp_path: Path) -> None:
    """A call whose answer was lost is repeated; one out of order ends the upload."""

    async def work() -> None:
        service = service_of(tmp_path)
        service.life.begin()
        assert await service.write("u", 0, b"abc") == 3
        assert await service.write("u", 0, b"abc") == 3
        assert await service.write("u", 3, b"def") == 6
        done = await service.finish("u", 6)
        assert done == (sha256(b"abcdef").hexdigest(), 6)
        assert await service.finish("u", 6) == done
        assert await service.write("v", 0, b"abc") == 3
        assert isinstance(await service.write("v", 9, b"xyz"), UploadLost)
        assert isinstance(await service.finish("v", 3), UploadLost)
        assert [*(tmp_path / FOLDER).iterdir()] == []

    within(work())


def test_an_upload_that_goes_on_no_more_is_given_up(tmp_path: Path) -> None:
    """Its node was killed: nothing of it stays; one that goes on is left alone."""

    async def work() -> None:
        service = service_of(tmp_path)
        service.life.begin()
        await service.write("u", 0, b"abc")
        now = asyncio.get_running_loop().time()
        await service.tend(now + UPLOAD_IDLE_S_MAX - 5)
        assert await service.write("u", 3, b"def") == 6
        await service.tend(now + 2 * UPLOAD_IDLE_S_MAX)
        assert [*(tmp_path / FOLDER).iterdir()] == []
        assert isinstance(await service.write("u", 6, b"ghi"), UploadLost)

    within(work())


def test_uploads_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is told so; one that has ended makes room."""
    monkeypatch.setattr(blob_store, "UPLOADS_MAX", 1)

    async def work() -> None:
        service = service_of(tmp_path)
        service.life.begin()
        assert await service.write("u", 0, b"abc") == 3
        refused = await service.write("v", 0, b"abc")
        assert isinstance(refused, BlobError)
        assert str(refused) == "too many uploads are under way (at most 1): try again later"
        await service.finish("u", 3)
        assert await service.write("v", 0, b"abc") == 3

    within(work())


def test_a_store_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Callers hear it as the reason, and not as a missing blob."""
    (tmp_path / "blobs").write_text("a file where the folder should be")

    async def work() -> None:
        service = service_of(tmp_path / "blobs")
        service.life.begin()
        answer = await service.part("0" * 64, 0)
        assert isinstance(answer, NotReady)
        link = RayBlobs(LinksHere(service), here, patience_s=0.5)
        with pytest.raises(BlobsAway, match=r"is not ready: .*File exists"):
            await link.has("0" * 64)
        service.life.stop()

    within(work())


def test_a_part_that_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    """The process that made it may have ended; after some tries it is said."""

    async def work() -> None:
        service = service_of(tmp_path)
        fails = 2

        async def get(data: Any) -> bytes:
            nonlocal fails
            fails -= 1
            if fails >= 0:
                raise TimeoutError("it was lost")
            return bytes(data)

        link = RayBlobs(LinksHere(service), get)
        digest, _ = await RayBlobs(LinksHere(service), here).write(_once(b"model"))
        assert await link.part(digest, 0) == (5, b"model")
        fails = 99
        with pytest.raises(BlobsAway, match="does not come to this node: it was lost"):
            await link.part(digest, 0)

    within(work())


async def _once(data: bytes) -> Any:
    yield data
