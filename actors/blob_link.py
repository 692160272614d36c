"""The head's blob store from elsewhere in the cluster: ports.Blobs over calls of the process that has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any, cast
from uuid import uuid4

import ray

from actors import names
from actors.blob_store import PART_BYTES, BlobPart
from helix_ray.blobs.errors import BlobDamaged, BlobError, BlobsAway
from helix_ray.blobs.folder import in_parts
from helix_ray.blobs.incoming import Written
from helix_ray.plane.calls import Away, until_answered
from helix_ray.plane.links import CallFailed, Links
from helix_ray.plane.ray_links import RayLinks
from helix_ray.ports import STARTING, NotReady

PATIENCE_S = 60.0
"""How long a call is repeated while the store's process does not respond: a restart is shorter."""

FETCH_S_MAX = 60.0
"""How long Ray may take to bring a part to this node."""

ABANDON_S_MAX = 2.0

PARTS_AGAIN_MAX = 3
"""How often a part is asked for whose object is lost with the process that made it."""


class RayBlobs:
    """ports.Blobs over Ray's links; for one event loop."""

    def __init__(
        self,
        links: Links | None = None,
        get: Callable[[Any], Awaitable[bytes]] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`get` returns what a reference stands for."""
        self._links = links or RayLinks()
        self._get = get or _value_of
        self._patience_s = patience_s

    async def write(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """Write a blob; the next part is only asked for when the last one is on the head's disk.

        Raises BlobError.
        """
        upload_id, offset = uuid4().hex, 0
        try:
            async for part in in_parts(chunks, PART_BYTES):
                await self._call("write_blob", upload_id, offset, part)
                offset += len(part)
            written: Written = await self._call("finish_blob", upload_id, offset)
        except BaseException:
            # One that does not arrive is given up by itself.
            with contextlib.suppress(BlobError):
                await self._call("abandon_blob", upload_id, patience_s=ABANDON_S_MAX)
            raise
        return written

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """Return the bytes of a blob in pieces. Raises BlobError: BlobMissing at once, BlobDamaged before the
        last piece."""
        size, data = await self.part(digest, 0)
        return self._pieces(digest, size, data)

    async def _pieces(self, digest: str, size: int, data: bytes) -> AsyncIterator[bytes]:
        hashed, number = sha256(data), 0
        while (number + 1) * PART_BYTES < size:
            number += 1
            # The next part is on its way while the caller takes this one.
            coming = asyncio.ensure_future(self.part(digest, number))
            try:
                yield data
                _, data = await coming
            finally:
                coming.cancel()
            hashed.update(data)
        if hashed.hexdigest() != digest:
            await self.verify(digest)
            raise BlobDamaged(digest)
        if data:
            yield data

    async def has(self, digest: str) -> bool:
        """Say whether a blob is there. Raises BlobsAway."""
        return bool(await self._call("has_blob", digest))

    async def verify(self, digest: str) -> bool:
        """Say whether a blob is there and sound; the head sets a damaged one aside. Raises BlobsAway."""
        return bool(await self._call("verify_blob", digest))

    async def part(self, digest: str, number: int) -> tuple[int, bytes]:
        """Return the bytes of the whole blob, and a part of it. Raises BlobError."""
        why = ""
        for _ in range(PARTS_AGAIN_MAX):
            found: BlobPart = await self._call("blob_part", digest, number)
            try:
                async with asyncio.timeout(FETCH_S_MAX):
                    return found.size, await self._get(found.reference[0])
            except (ray.exceptions.RayError, TimeoutError) as error:
                why = str(error).partition("\n")[0] or "it takes too long"
        raise BlobsAway(f"a part of the file {digest} does not come to this node: {why}")

    async def _call(self, method: str, *arguments: Any, patience_s: float | None = None) -> Any:
        try:
            reply = await until_answered(
                lambda: self._links.call(names.SUPERVISOR, method, *arguments),
                self._patience_s if patience_s is None else patience_s,
            )
        except (Away, CallFailed) as error:
            raise BlobsAway(f"the blob store of the head does not respond: {error}") from error
        if isinstance(reply, NotReady):
            raise BlobsAway(f"the blob store of the head is not ready: {reply.reason or STARTING}")
        if isinstance(reply, BlobError):
            raise reply
        return reply


async def _value_of(reference: Any) -> bytes:
    return cast("bytes", await reference)
