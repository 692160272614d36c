"""Implementations of ports.Blobs for the tests of the port, each over a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors import names
from actors.blob_link import RayBlobs
from actors.blob_store import BlobService
from helix_ray.blobs.folder import FolderBlobs
from helix_ray.blobs.store import BlobStore
from helix_ray.plane.links import LinkLost, MasterLink
from helix_ray.ports import Blobs

MakeBlobs = Callable[[Path], Blobs]


class LinksHere:
    """Links to a blob service in this process. Every so many calls are lost, half of them after they were
    carried out; 0 loses none."""

    def __init__(self, service: BlobService, lost_every: int = 0) -> None:
        self.service = service
        self.calls: list[str] = []
        self._lost_every = lost_every

    async def master(self) -> MasterLink:
        """There is none."""
        raise LinkLost

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Call the service as the actor does that has it in its process."""
        assert actor == names.SUPERVISOR
        self.service.life.begin()
        self.calls.append(method)
        number = len(self.calls)
        lost = self._lost_every and number % self._lost_every == 0
        if lost and number % (2 * self._lost_every):
            raise LinkLost
        reply = await getattr(self.service, METHODS[method])(*arguments)
        if lost:
            raise LinkLost
        return reply


METHODS = {
    "blob_part": "part",
    "has_blob": "has",
    "verify_blob": "verify",
    "write_blob": "write",
    "finish_blob": "finish",
    "abandon_blob": "abandon",
}


async def here(data: Any) -> bytes:
    """Return what a reference stands for: a part is its own here."""
    await asyncio.sleep(0)
    return bytes(data)


def service_of(folder: Path) -> BlobService:
    """A service that shares parts as they are."""
    return BlobService(BlobStore(folder), share=lambda data: data)


def in_folder(folder: Path) -> Blobs:
    """The folder itself, as API replicas use it."""
    return FolderBlobs(BlobStore(folder))


def over_links(folder: Path) -> Blobs:
    """The service of the head, as nodes use it."""
    return RayBlobs(LinksHere(service_of(folder)), here)


def over_faulty_links(folder: Path) -> Blobs:
    """The same, where every third call is lost."""
    return RayBlobs(LinksHere(service_of(folder), lost_every=3), here)


WORLDS: dict[str, MakeBlobs] = {
    "folder": in_folder,
    "links": over_links,
    "faulty links": over_faulty_links,
}
