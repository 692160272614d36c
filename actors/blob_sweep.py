"""Removes the files of the blob store that nothing names and nobody has used for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection

from helix_ray.blobs.store import BlobStore

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 600.0

# Returns the digests that versions of models and unfinished tasks name; None where that is not known now.
Named = Callable[[], Awaitable[Collection[str] | None]]


async def sweep_blobs(store: BlobStore, named: Named, keep_s: float) -> None:
    """Sweep again and again for as long as the head lives."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await sweep(store, named, time.time() - keep_s)
        except OSError as error:
            log.warning("cannot remove files that nothing names: %s", error)


async def sweep(store: BlobStore, named: Named, idle_before: float) -> int:
    """Remove the blobs that nothing names and that were neither used nor written since `idle_before`; return
    how many. What a killed API replica left of an upload goes, too. Raises OSError.

    What is idle is listed before it is asked what is named: a blob that is uploaded for a name in between is
    written then, if only again, and one that is deleted is looked at under its lock.
    """
    await asyncio.to_thread(store.prepare)
    idle = [blob for blob in await asyncio.to_thread(store.stored) if blob.idle_since < idle_before]
    names = await named() if idle else None
    if names is None:
        return 0
    removed = freed = 0
    for blob in idle:
        if blob.digest not in names and await asyncio.to_thread(_delete, store, blob.digest, idle_before):
            removed, freed = removed + 1, freed + blob.bytes
    if removed:
        log.info("removed %d files that nothing names, %d bytes", removed, freed)
    return removed


def _delete(store: BlobStore, digest: str, idle_before: float) -> bool:
    return store.delete(digest, idle_before=idle_before)
