"""Files by their digest on real raylets: every node gets them over Ray's object store."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import names
from actors.blob_link import RayBlobs
from actors.blob_store import PART_BYTES
from helix_ray.blobs.store import BlobStore
from tests.ray.conftest import LiveCluster

SIZE = 3 * PART_BYTES + 1


def test_nodes_fetch_a_file_at_once_and_build_another(cluster: LiveCluster, tmp_path: Path) -> None:
    """All nodes read what was uploaded on the head, the store's process is killed, and a node brings a file
    that it has built to the head."""
    content = os.urandom(SIZE)
    (tmp_path / "model.onnx").write_bytes(content)
    head = BlobStore(cluster.settings.data_dir / "blobs")
    digest, _ = head.add(tmp_path / "model.onnx")

    @ray.remote(num_cpus=0)
    def fetch(folder: str) -> str:
        from actors.node_blobs import NodeBlobs

        async def work() -> str:
            came: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            blobs = NodeBlobs(BlobStore(Path(folder)), RayBlobs(), lambda key, error: came.set_result(error))
            assert not blobs.need(("t", 1), (digest,))
            assert await came is None
            return sha256((blobs.folder / digest).read_bytes()).hexdigest()

        return asyncio.run(work())

    def on_all(round_: int) -> list[Any]:
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        return [
            fetch.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                str(tmp_path / f"{round_}-{node[:8]}")
            )
            for node in nodes
        ]

    assert set(ray.get(on_all(1))) == {digest}
    supervisor = ray.get(names.find(names.SUPERVISOR).health.remote())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    assert set(ray.get(on_all(2))) == {digest}

    async def chunks() -> AsyncIterator[bytes]:
        yield content[::-1]

    built, size = asyncio.run(RayBlobs().write(chunks()))
    assert (built, size) == (sha256(content[::-1]).hexdigest(), SIZE)
    assert head.verify(built)
