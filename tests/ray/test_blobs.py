"""Files by their digest on real raylets: every node gets them over Ray's object store."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import names
from actors.blob_link import RayBlobs
from actors.blob_store import PART_BYTES
from helix_ray.blobs.places import NODE_FOLDER, head_store
from helix_ray.blobs.store import BlobStore
from helix_ray.core.orders import UploadDataset
from helix_ray.core.questions import GetTask
from helix_ray.digits import as_rows, held_out
from helix_ray.inference.onnx import ModelStore
from tests.ray.conftest import LiveCluster

SIZE = 3 * PART_BYTES + 1
MODEL = "digits_transformer"


@pytest.fixture
def head(cluster: LiveCluster) -> BlobStore:
    """The store of the head, as API replicas use it."""
    return head_store(cluster.settings)


def test_nodes_fetch_a_file_at_once_and_build_another(
    cluster: LiveCluster, head: BlobStore, tmp_path: Path
) -> None:
    """All nodes read what was uploaded on the head, the store's process is killed, and a node brings a file
    that it has built to the head."""
    content = os.urandom(SIZE)
    (tmp_path / "model.onnx").write_bytes(content)
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


def test_an_inference_reads_a_data_set_by_its_digest(
    cluster: LiveCluster, head: BlobStore, tmp_path: Path
) -> None:
    """Its node fetches the file before the attempt starts; one that is not there fails the task at once."""
    images = held_out()[0][:32]
    (given,) = ModelStore().model(MODEL).info.inputs
    np.savez(tmp_path / "rows.npz", **{given.name: as_rows(images)})
    digest, _ = head.add(tmp_path / "rows.npz")
    run = {"kind": "inference", "model": MODEL, "dataset": digest}
    lost = {**run, "dataset": "0" * 64}
    for named in (digest, lost["dataset"]):
        cluster.execute(UploadDataset(named, 1))
    specs = [{"title": "infer", "type": "building", "run": each} for each in (run, lost)]
    ids = cluster.submit(specs[0], {**specs[1], "max_retries": 3})
    done = cluster.outcomes(ids)
    assert done[ids[0]]["status"] == "completed", done[ids[0]]["error"]
    assert done[ids[0]]["result"]["rows"] == 32
    assert BlobStore(cluster.settings.data_dir / NODE_FOLDER).has(digest)
    assert done[ids[1]]["status"] == "failed"
    assert done[ids[1]]["error"]["reason"] == "file_missing"
    assert cluster.ask(GetTask(ids[1]))["attempt"] == 1
