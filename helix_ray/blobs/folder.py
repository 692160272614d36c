"""The blobs of a folder on this machine, as ports.Blobs: for API replicas, which share the head's disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator

from helix_ray.blobs.errors import BlobMissing
from helix_ray.blobs.store import BlobStore

PART_BYTES = 1 << 20
"""How much of an upload is held in memory before it is written, and the size of a piece that is read."""


class FolderBlobs:
    """ports.Blobs over a BlobStore; files are read and written on threads."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    async def write(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """Write a blob; the next chunk is only asked for when there is room for it. Raises StoreFull and
        OSError."""
        incoming = self._store.begin()
        try:
            async for part in in_parts(chunks):
                await asyncio.to_thread(incoming.write, part)
            return await asyncio.to_thread(incoming.finish)
        except BaseException:
            # On a thread, for it waits for a write that is under way: the caller may be cancelled in one.
            await asyncio.to_thread(incoming.abandon)
            raise

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """Return the bytes of a blob in pieces. Raises BlobMissing at once, BlobDamaged before the last
        piece, and OSError."""
        if not await self.has(digest):
            raise BlobMissing(digest)
        return _pieces(self._store.read(digest, PART_BYTES))

    async def has(self, digest: str) -> bool:
        """Say whether a blob is there."""
        return await asyncio.to_thread(self._store.has, digest)


async def _pieces(found: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await asyncio.to_thread(next, found, None)) is not None:
        yield piece


async def in_parts(chunks: AsyncIterable[bytes], size: int = PART_BYTES) -> AsyncIterator[bytes]:
    """Yield the bytes of chunks of any size as parts of `size`; the last one may be shorter."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)
