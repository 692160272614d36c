"""The store of all blobs, for nodes: what they read goes over Ray's object store, what their attempts built
comes from them. It lives in the supervisor's process.

API replicas share the head's disk and use the folder itself (helix_ray/blobs/folder.py); uploads of clients
never come here. A node reads a blob in parts. A part that was read lately is one object for all nodes, so Ray
copies it from node to node. It writes a blob in parts too, and the next part only when the last one is on the
disk; an upload that goes on no more is given up. All files are read and written on threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray

from actors.life import Life, LivingActor
from helix_ray.blobs.errors import BlobError, BlobMissing, UploadLost
from helix_ray.blobs.incoming import Incoming, Written
from helix_ray.blobs.store import BlobStore
from helix_ray.ports import STARTING, NotReady

log = logging.getLogger(__name__)

PART_BYTES = 4 << 20
"""The bytes of a part that nodes read or write."""

SHARED_PARTS_MAX = 8
"""How many parts are kept in the object store, so that nodes which read the same blob share them."""

SHARED_S = 30.0
"""How long a part is kept there after it was last asked for, in seconds."""

UPLOADS_MAX = 64
"""Most uploads under way at a time."""

UPLOAD_IDLE_S_MAX = 60.0
"""An upload that gets no part for so long is given up, in seconds."""

TEND_EVERY_S = 5.0
FIRST_TRY_S_MAX = 2.0


class BlobPart(NamedTuple):
    """A part of a blob of `size` bytes; `reference` is a list, where Ray leaves it a reference."""

    size: int
    reference: list[Any]


@dataclass(slots=True)
class _Upload:
    incoming: Incoming
    heard_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    written: Written | None = None


class BlobService:
    """The head's store as nodes use it. What goes wrong is returned and not raised, so that it arrives as it
    is: a BlobError, or NotReady."""

    def __init__(self, store: BlobStore, share: Callable[[bytes], Any] = ray.put) -> None:
        """`share` puts a part where all nodes reach it, and returns its reference."""
        self._store = store
        self._share = share
        self._uploads: dict[str, _Upload] = {}
        self._shared: OrderedDict[tuple[str, int], tuple[float, asyncio.Task[BlobPart]]] = OrderedDict()
        self.life = Life("the blob store", self._opening, (self._tend,))

    def hindrance(self) -> str | None:
        """Return why blobs cannot be read or written; None if they can."""
        return None if self.life.lives else self.life.reason or STARTING

    async def _opening(self) -> None:
        await asyncio.to_thread(self._store.prepare)

    # ------------------------------------------------------------------------------------------ reading

    async def part(self, digest: str, number: int) -> BlobPart | BlobError | NotReady:
        """Return a part of a blob; the first one counts as a use of it."""
        if (refusal := await self.life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        key = (digest, number)
        known = self._shared.get(key)
        task = known[1] if known is not None else self._read_later(key)
        self._shared[key] = (time.monotonic(), task)
        self._shared.move_to_end(key)
        while len(self._shared) > SHARED_PARTS_MAX:
            self._shared.popitem(last=False)
        try:
            # Shielded: others wait for the same one.
            return await asyncio.shield(task)
        except BlobError as error:
            self._shared.pop(key, None)
            return error
        except OSError as error:
            self._shared.pop(key, None)
            log.warning("cannot read the blob %s: %s", digest, error)
            return BlobError(f"the head cannot read the file {digest}: {error.strerror}")

    def _read_later(self, key: tuple[str, int]) -> asyncio.Task[BlobPart]:
        return asyncio.get_running_loop().create_task(asyncio.to_thread(self._read, *key))

    def _read(self, digest: str, number: int) -> BlobPart:
        with self._store.open(digest) as file:
            size = file.seek(0, 2)
            file.seek(number * PART_BYTES)
            return BlobPart(size, [self._share(file.read(PART_BYTES))])

    async def piece(self, digest: str, offset: int) -> bytes | NotReady | None:
        """Return at most PART_BYTES of a blob from an offset, for whoever shows it; None where it is not
        here. Raises OSError."""
        if (refusal := await self.life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        return await asyncio.to_thread(self._piece, digest, offset)

    def _piece(self, digest: str, offset: int) -> bytes | None:
        try:
            with self._store.open(digest) as file:
                file.seek(offset)
                return file.read(PART_BYTES)
        except BlobMissing:
            return None

    async def has(self, digest: str) -> bool | NotReady:
        """Say whether a blob is here."""
        refusal = await self.life.not_ready(FIRST_TRY_S_MAX)
        return await asyncio.to_thread(self._store.has, digest) if refusal is None else refusal

    async def verify(self, digest: str) -> bool | NotReady:
        """Say whether a blob is here and sound, for a node that has read something else; a damaged one is set
        aside."""
        if (refusal := await self.life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        for key in [key for key in self._shared if key[0] == digest]:
            del self._shared[key]
        return await asyncio.to_thread(self._verify, digest)

    def _verify(self, digest: str) -> bool:
        try:
            return self._store.verify(digest, again=True)
        except BlobMissing:
            return False

    # ------------------------------------------------------------------------------------------ writing

    async def write(self, upload_id: str, offset: int, data: bytes) -> int | BlobError | NotReady:
        """Write a part of an upload; return how many bytes there are. The part at offset 0 begins it, and one
        that is repeated is not written again."""
        if (refusal := await self.life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        upload = self._upload(upload_id, begins=offset == 0)
        if isinstance(upload, BlobError):
            return upload
        async with upload.lock:
            there = upload.incoming.size
            if offset + len(data) <= there:
                return there
            if offset != there:
                return self._lost(upload_id)
            try:
                await asyncio.to_thread(upload.incoming.write, data)
            except (BlobError, OSError) as error:
                return self._failed(upload_id, error)
            finally:
                upload.heard_at = time.monotonic()
            return upload.incoming.size

    async def finish(self, upload_id: str, size: int) -> Written | BlobError | NotReady:
        """End an upload of `size` bytes, and return its digest and bytes; it is durable then."""
        if (refusal := await self.life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        upload = self._upload(upload_id, begins=size == 0)
        if isinstance(upload, BlobError):
            return upload
        async with upload.lock:
            if upload.written is None:
                if upload.incoming.size != size:
                    return self._lost(upload_id)
                try:
                    upload.written = await asyncio.to_thread(upload.incoming.finish)
                except (BlobError, OSError) as error:
                    return self._failed(upload_id, error)
            # Kept for a while, for a caller whose answer was lost.
            upload.heard_at = time.monotonic()
            return upload.written

    async def abandon(self, upload_id: str) -> None:
        """Give up an upload, if there is one."""
        upload = self._uploads.pop(upload_id, None)
        if upload is not None:
            await asyncio.to_thread(upload.incoming.abandon)

    def _upload(self, upload_id: str, *, begins: bool) -> _Upload | BlobError:
        upload = self._uploads.get(upload_id)
        if upload is not None:
            return upload
        if not begins:
            return self._lost(upload_id)
        if sum(other.written is None for other in self._uploads.values()) >= UPLOADS_MAX:
            return BlobError(f"too many uploads are under way (at most {UPLOADS_MAX}): try again later")
        made = self._uploads[upload_id] = _Upload(self._store.begin(), time.monotonic())
        return made

    def _lost(self, upload_id: str) -> UploadLost:
        if (upload := self._uploads.pop(upload_id, None)) is not None:
            upload.incoming.abandon()
        return UploadLost("the upload was given up: begin again")

    def _failed(self, upload_id: str, error: BlobError | OSError) -> BlobError:
        self._uploads.pop(upload_id, None)
        if isinstance(error, BlobError):
            return error
        log.warning("cannot write a blob: %s", error)
        return BlobError(f"the head cannot write the file: {error.strerror}")

    # ------------------------------------------------------------------------------------------ tending

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            await self.tend(time.monotonic())

    async def tend(self, now: float) -> None:
        """Give up uploads that go on no more, and let shared parts go that nobody has asked for lately."""
        for upload_id, upload in [*self._uploads.items()]:
            if now - upload.heard_at > UPLOAD_IDLE_S_MAX and not upload.lock.locked():
                if upload.written is None:
                    log.warning("gave up an upload that got nothing for %g s", UPLOAD_IDLE_S_MAX)
                await self.abandon(upload_id)
        for key, (asked_at, _) in [*self._shared.items()]:
            if now - asked_at > SHARED_S:
                self._shared.pop(key, None)


class BlobCalls(LivingActor):
    """The calls of an actor that has the blob store in its process."""

    _blob_service: BlobService

    async def blob_part(self, digest: str, number: int) -> BlobPart | BlobError | NotReady:
        """Return a part of a blob."""
        return await self._blob_service.part(digest, number)

    async def read_blob(self, digest: str, offset: int) -> bytes | NotReady | None:
        """Return a piece of a blob; None where it is not here."""
        return await self._blob_service.piece(digest, offset)

    async def has_blob(self, digest: str) -> bool | NotReady:
        """Say whether a blob is here."""
        return await self._blob_service.has(digest)

    async def verify_blob(self, digest: str) -> bool | NotReady:
        """Say whether a blob is here and sound."""
        return await self._blob_service.verify(digest)

    async def write_blob(self, upload_id: str, offset: int, data: bytes) -> int | BlobError | NotReady:
        """Write a part of an upload."""
        return await self._blob_service.write(upload_id, offset, data)

    async def finish_blob(self, upload_id: str, size: int) -> Written | BlobError | NotReady:
        """End an upload."""
        return await self._blob_service.finish(upload_id, size)

    async def abandon_blob(self, upload_id: str) -> None:
        """Give up an upload."""
        await self._blob_service.abandon(upload_id)
