"""Removes the files of the blob store that nothing names and nobody has used for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from helix_ray.blobs.store import BlobStore
from helix_ray.core.views.models import NamedFilesView

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 600.0

# Returns what is named; None where that is not known now.
Named = Callable[[], Awaitable[NamedFilesView | None]]
# Takes the data sets whose files are not in the store, and since when (epoch seconds).
Gone = Callable[[Sequence[str], float], Awaitable[None]]


async def sweep_blobs(store: BlobStore, named: Named, gone: Gone, keep_s: float) -> None:
    """Sweep again and again for as long as the head lives."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await sweep(store, named, time.time() - keep_s)
            await forget_data_sets(store, named, gone, time.time())
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
    found = await named() if idle else None
    if found is None:
        return 0
    names = set(found["digests"])
    removed = freed = 0
    for blob in idle:
        if blob.digest not in names and await asyncio.to_thread(_delete, store, blob.digest, idle_before):
            removed, freed = removed + 1, freed + blob.bytes
    if removed:
        log.info("removed %d files that nothing names, %d bytes", removed, freed)
    return removed


async def forget_data_sets(store: BlobStore, named: Named, gone: Gone, now: float) -> None:
    """Have the data sets forgotten whose files are not in the store.

    An upload stores its file before the data set is known: what is uploaded meanwhile is known after `now`.
    """
    found = await named()
    datasets = [] if found is None else found["datasets"]
    missing = [each for each in datasets if not await asyncio.to_thread(store.has, each)]
    if missing:
        await gone(missing, now)


def _delete(store: BlobStore, digest: str, idle_before: float) -> bool:
    return store.delete(digest, idle_before=idle_before)
