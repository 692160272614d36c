"""Where blobs are: the head keeps all of them, and each node a cache of those that its attempts use."""

from __future__ import annotations

from pathlib import Path

from helix_ray.blobs.store import BlobStore
from helix_ray.config import Settings

HEAD_FOLDER = "blobs"
NODE_FOLDER = "node-blobs"
RESERVES = 2
"""Blobs leave so many times the journal's own reserve of disk space free, so that orders are still recorded
when no more blob fits."""


def head_store(settings: Settings) -> BlobStore:
    """Return the store of all blobs, in the data directory: it is shared by all processes of the head."""
    return BlobStore(settings.data_dir / HEAD_FOLDER, reserve_bytes=RESERVES * settings.disk_reserve_bytes)


def node_store(settings: Settings, home: Path) -> BlobStore:
    """Return the cache of a node that keeps its things in `home`: it is shared by all nodes with this
    home."""
    return BlobStore(
        home / NODE_FOLDER, settings.node_blobs_bytes_max, RESERVES * settings.disk_reserve_bytes
    )
