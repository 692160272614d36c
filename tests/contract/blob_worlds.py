"""Implementations of ports.Blobs for the tests of the port, each over a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helix_ray.blobs.folder import FolderBlobs
from helix_ray.blobs.store import BlobStore
from helix_ray.ports import Blobs

MakeBlobs = Callable[[Path], Blobs]


def in_folder(folder: Path) -> Blobs:
    """The folder itself, as API replicas use it."""
    return FolderBlobs(BlobStore(folder))


WORLDS: dict[str, MakeBlobs] = {"folder": in_folder}
