"""The blobs of a node: brought from the head before an attempt that needs them starts, kept while it runs,
and brought to the head where an attempt has built them.

    wanted --> coming (one fetch for all that wait) --> here, held by the attempts that need it
                                                          |  (nobody needs it for HOLD_S, or room is needed)
                                                          +-> may be evicted

What is held is sound and stays on the disk (helix_ray/blobs/store.py, pin). An attempt whose files are all
held starts at once: a model that many short attempts use costs none of them a look at the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from actors.blob_store import PART_BYTES
from helix_ray.blobs.errors import BlobDamaged, BlobError, BlobMissing, StoreFull
from helix_ray.blobs.folder import FolderBlobs
from helix_ray.blobs.incoming import Incoming
from helix_ray.blobs.store import BlobStore, Pin
from helix_ray.core.orders import AttemptReport
from helix_ray.core.specs import TaskError
from helix_ray.execution.effects import Key

log = logging.getLogger(__name__)

FETCHES_AT_ONCE_MAX = 2
"""How many blobs are fetched at a time: more would share the link, and each has two parts in memory."""

HOLD_S = 60.0
"""How long a blob is held after the last attempt that needed it, in seconds."""


class HeadStore(Protocol):
    """The head's store, from which blobs come and to which they go (actors/blob_link.py)."""

    async def part(self, digest: str, number: int) -> tuple[int, bytes]:
        """Return the bytes of the whole blob, and a part of it. Raises BlobError."""
        ...

    async def verify(self, digest: str) -> bool:
        """Say whether the blob is sound there. Raises BlobError."""
        ...

    async def write(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """Write a blob. Raises BlobError."""
        ...


SAID_AFTER_S = 1.0
"""How long an attempt waits for its files before that is reported, in seconds."""


@dataclass(slots=True)
class _Held:
    """A blob that is held for attempts, and since when none of them needs it."""

    pin: Pin
    idle_since: float
    users: set[Key] = field(default_factory=set)


# Called when the files of an attempt are all held, or with what went wrong.
Came = Callable[[Key, BlobError | None], None]
Say = Callable[[AttemptReport], None]


class NodeBlobs:
    """The blobs of one node worker; for its event loop."""

    def __init__(
        self, store: BlobStore, source: HeadStore, came: Came, say: Say = lambda report: None
    ) -> None:
        """`say` reports what attempts wait for their files."""
        self._store = store
        self._source = source
        self._came = came
        self._say = say
        self._held: dict[str, _Held] = {}
        self._coming: dict[str, asyncio.Task[_Held]] = {}
        self._waiting: dict[Key, asyncio.Task[None]] = {}
        self._uploads: dict[Key, asyncio.Task[None]] = {}
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE_MAX)

    @property
    def folder(self) -> Path:
        """Where the files are; each is named by its digest."""
        return self._store.folder

    async def prepare(self) -> None:
        """Make the folder, and remove what killed writers left. Raises OSError."""
        await asyncio.to_thread(self._store.prepare)

    def close(self) -> None:
        """Stop what is under way; safe to call twice."""
        for task in (*self._waiting.values(), *self._coming.values(), *self._uploads.values()):
            task.cancel()

    # ------------------------------------------------------------------------------------------ fetching

    def need(self, key: Key, digests: Sequence[str]) -> bool:
        """Hold files for an attempt. False where some are not held yet: `came` is called when they are."""
        held = [self._held[digest] for digest in digests if digest in self._held]
        if len(held) == len(digests):
            for one in held:
                one.users.add(key)
            return True
        self._waiting[key] = asyncio.get_running_loop().create_task(self._gather(key, digests))
        return False

    def let_go(self, holds: Callable[[Key], bool]) -> None:
        """Forget the attempts that have ended; `holds` says which have not. To be called again and again."""
        now = time.monotonic()
        for key, task in self._waiting.items():
            if not holds(key):
                task.cancel()
        for held in self._held.values():
            if held.users:
                held.users = {key for key in held.users if holds(key)}
                held.idle_since = now
        self._release(now - HOLD_S)

    def _release(self, idle_before: float) -> None:
        for digest, held in [*self._held.items()]:
            if not held.users and held.idle_since <= idle_before:
                del self._held[digest]
                held.pin.release()

    async def _gather(self, key: Key, digests: Sequence[str]) -> None:
        error: BlobError | None = None
        said: list[AttemptReport] = []
        timer = asyncio.get_running_loop().call_later(SAID_AFTER_S, self._say_waits, key, digests, said)
        try:
            for digest in digests:
                (await self._here(digest)).users.add(key)
        except BlobError as found:
            error = found
        except OSError as found:
            error = BlobError(f"the node cannot read or write its copy of a file: {found.strerror}")
        finally:
            timer.cancel()
            self._waiting.pop(key, None)
        if said:
            self._say(_noted(key, ""))
        if error is not None:
            log.warning("the files of attempt %d of %s do not come: %s", key[1], key[0], error)
        self._came(key, error)

    def _say_waits(self, key: Key, digests: Sequence[str], said: list[AttemptReport]) -> None:
        """Say that an attempt waits for files; in `said`, too."""
        missing = sum(digest not in self._held for digest in digests)
        said.append(_noted(key, f"waiting for {missing} {'file' if missing == 1 else 'files'} on its node"))
        self._say(said[-1])

    async def _here(self, digest: str) -> _Held:
        """Return a held blob: all that wait for it share one fetch, which goes on if one of them stops."""
        held = self._held.get(digest)
        if held is not None:
            return held
        task = self._coming.get(digest)
        if task is None:
            task = self._coming[digest] = asyncio.get_running_loop().create_task(self._bring(digest))
            task.add_done_callback(lambda ended: self._brought(digest, ended))
        return await asyncio.shield(task)

    def _brought(self, digest: str, task: asyncio.Task[_Held]) -> None:
        self._coming.pop(digest, None)
        if not task.cancelled() and task.exception() is not None:
            log.debug("the blob %s did not come: %s", digest, task.exception())

    async def _bring(self, digest: str) -> _Held:
        try:
            pin = await asyncio.to_thread(self._store.pin, digest)
        except (BlobMissing, BlobDamaged):
            async with self._fetches:
                pin = await self._fetch(digest)
        held = self._held[digest] = _Held(pin, time.monotonic())
        return held

    async def _fetch(self, digest: str) -> Pin:
        """Copy a blob from the head, verify it and hold it. Raises BlobError and OSError."""
        began = time.monotonic()
        size, data = await self._source.part(digest, 0)
        incoming = await self._begun(size)
        try:
            await self._copy(incoming, digest, size, data)
            pin = await asyncio.to_thread(self._finished, incoming, digest)
        except ValueError as error:
            if await self._source.verify(digest):
                raise BlobError(f"the file {digest} has changed on its way to the node") from error
            raise BlobDamaged(digest) from error
        finally:
            await asyncio.to_thread(incoming.abandon)
        log.info("fetched the blob %s, %d bytes, in %.1f s", digest, size, time.monotonic() - began)
        return pin

    async def _begun(self, size: int) -> Incoming:
        try:
            return await asyncio.to_thread(self._store.begin, size)
        except StoreFull:
            # What is held for attempts that may come makes room.
            self._release(time.monotonic())
            return await asyncio.to_thread(self._store.begin, size)

    async def _copy(self, incoming: Incoming, digest: str, size: int, data: bytes) -> None:
        number = 0
        while True:
            number += 1
            last = number * PART_BYTES >= size
            # The next part is on its way while this one is written.
            coming = None if last else asyncio.ensure_future(self._source.part(digest, number))
            try:
                await asyncio.to_thread(incoming.write, data)
                if coming is None:
                    return
                _, data = await coming
            finally:
                if coming is not None:
                    coming.cancel()

    def _finished(self, incoming: Incoming, digest: str) -> Pin:
        incoming.finish(digest)
        return self._store.pin(digest)

    # ------------------------------------------------------------------------------------------ uploading

    def uploading(self) -> Collection[Key]:
        """Return the attempts whose files are being brought to the head."""
        return self._uploads.keys()

    def upload(
        self, key: Key, digests: Sequence[str], done: Callable[[BlobError | None], None], *, keep: bool = True
    ) -> None:
        """Bring files that an attempt has built to the head, and call `done`, with what went wrong if
        anything; without `keep` the node has them no longer than that."""

        async def work() -> None:
            error: BlobError | None = None
            try:
                for digest in digests:
                    await self._send(digest)
            except BlobError as found:
                error = found
            except OSError as found:
                error = BlobError(f"the node cannot read its copy of a file: {found.strerror}")
            finally:
                self._uploads.pop(key, None)
            if not keep:
                await asyncio.to_thread(self._remove, digests)
            done(error)

        self._uploads[key] = asyncio.get_running_loop().create_task(work())

    def _remove(self, digests: Sequence[str]) -> None:
        for digest in digests:
            with contextlib.suppress(OSError):
                self._store.delete(digest)

    async def _send(self, digest: str) -> None:
        pin = await asyncio.to_thread(self._store.pin, digest)
        try:
            await self._source.write(await FolderBlobs(self._store).open(digest))
        finally:
            pin.release()


def _noted(key: Key, note: str) -> AttemptReport:
    return AttemptReport(*key, "progressed", progress=0.0, note=note)


def report_of_fetch(key: Key, error: BlobError) -> AttemptReport:
    """Return the report of an attempt whose files do not come: where they are gone no node has better luck,
    else another one may."""
    gone = isinstance(error, BlobMissing | BlobDamaged)
    said: TaskError = {
        "reason": "file_missing" if gone else "lost",
        "type": type(error).__name__,
        "message": f"a file that it needs cannot be had: {error}",
    }
    return AttemptReport(*key, "failed" if gone else "lost", error=said, retryable=not gone)


def report_of_upload(key: Key, error: BlobError) -> AttemptReport:
    """Return the report of an attempt whose files cannot be kept: a retry may help unless there is no
    room."""
    full = isinstance(error, StoreFull)
    said: TaskError = {
        "reason": "not_stored" if full else "lost",
        "type": type(error).__name__,
        "message": f"a file that it has built cannot be kept: {error}",
    }
    return AttemptReport(*key, "failed" if full else "lost", error=said, retryable=not full)
