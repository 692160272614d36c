"""What nothing names and nobody uses is removed after a while; nothing else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from actors.blob_sweep import forget_data_sets, sweep
from helix_ray.backup import BLOBS
from helix_ray.blobs.copying import copy_blobs
from helix_ray.blobs.incoming import FOLDER
from helix_ray.blobs.store import BlobStore
from helix_ray.core.views.models import NamedFilesView

NOW = 1_000_000.0
NOTHING: NamedFilesView = {"digests": [], "datasets": []}


def put(store: BlobStore, content: bytes, used_at: float = 1.0, written_at: float = 1.0) -> str:
    """Write a blob that was used and written then."""
    incoming = store.begin()
    incoming.write(content)
    digest = incoming.finish().digest
    os.utime(store.folder / digest, (used_at, written_at))
    return digest


def test_only_what_is_idle_and_unnamed_is_removed(tmp_path: Path) -> None:
    """Named, used, written or held: each keeps a blob."""
    store = BlobStore(tmp_path)
    named, idle, held = put(store, b"named"), put(store, b"idle"), put(store, b"held")
    used = put(store, b"used", used_at=NOW)
    written = put(store, b"written", written_at=NOW)
    asked = 0

    async def names() -> NamedFilesView:
        nonlocal asked
        asked += 1
        return {"digests": [named], "datasets": []}

    with store.pin(held):
        os.utime(tmp_path / held, (1.0, 1.0))
        assert asyncio.run(sweep(store, names, NOW)) == 1
    assert {blob.digest for blob in store.stored()} == {named, held, used, written}
    assert not store.has(idle)
    assert asked == 1


def test_nothing_is_removed_while_the_names_are_not_known(tmp_path: Path) -> None:
    """The master is away; where nothing is idle it is not even asked."""
    store = BlobStore(tmp_path)
    digest = put(store, b"idle")

    async def unknown() -> None:
        return None

    async def never() -> None:
        raise AssertionError

    assert asyncio.run(sweep(store, unknown, NOW)) == 0
    assert store.has(digest)
    assert asyncio.run(sweep(store, never, 0.5)) == 0


def test_what_a_killed_writer_left_goes_and_an_upload_under_way_stays(tmp_path: Path) -> None:
    """An API replica that is killed in an upload comes back, but the head does not start again."""
    store = BlobStore(tmp_path)
    under_way = store.begin()
    under_way.write(b"still coming")
    left = tmp_path / FOLDER / "left"
    left.write_bytes(b"half a model")

    async def names() -> NamedFilesView:
        return NOTHING

    assert asyncio.run(sweep(store, names, 0.5)) == 0
    assert not left.exists()
    assert store.has(under_way.finish().digest)


def test_what_is_uploaded_again_meanwhile_stays(tmp_path: Path) -> None:
    """Between the look at the folder and the removal, for a name that is made next."""
    store = BlobStore(tmp_path)
    digest = put(store, b"model")

    async def names() -> NamedFilesView:
        incoming = store.begin()
        incoming.write(b"model")
        incoming.finish()
        return NOTHING

    assert asyncio.run(sweep(store, names, NOW)) == 0
    assert store.has(digest)


def test_a_backup_is_no_use(tmp_path: Path) -> None:
    """Nightly backups do not keep what nobody uses."""
    store = BlobStore(tmp_path / BLOBS)
    put(store, b"idle")
    copy_blobs(store.folder, tmp_path / "copy", lambda _: None)
    assert store.stored()[0].idle_since == 1.0


def test_data_sets_are_forgotten_when_their_files_are_gone(tmp_path: Path) -> None:
    """And no others, at the time of the look; nothing is said where the names are not known."""
    store = BlobStore(tmp_path)
    digest = put(store, b"rows")
    told: list[tuple[Sequence[str], float]] = []

    async def names() -> NamedFilesView:
        return {"digests": [], "datasets": [digest, "0" * 64]}

    async def unknown() -> None:
        return None

    async def gone(digests: Sequence[str], before: float) -> None:
        told.append((digests, before))

    for named in (names, unknown):
        asyncio.run(forget_data_sets(store, named, gone, NOW))
    assert told == [(["0" * 64], NOW)]
