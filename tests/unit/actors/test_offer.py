"""What a Ray node becomes as a worker: resources in our names, capabilities from them and from its label."""

from __future__ import annotations

from actors.node_care import offer_of

MB = 1024 * 1024


def test_a_node_offers_what_ray_counts_there() -> None:
    """Ray's own names are translated, its book-keeping is left out, accelerators are capabilities."""
    resources = {
        "CPU": 4.0,
        "GPU": 1.0,
        "memory": 1.5 * MB,
        "object_store_memory": 1.0,
        "node:10.0.0.1": 1.0,
        "accelerator_type:H100": 1.0,
        "Rockchip": 2.0,
        "empty": 0.0,
    }
    labels = {"helix-node": "host1", "helix-capabilities": "camera_lidar"}
    node = {"NodeID": "a" * 56, "NodeManagerHostname": "h", "Resources": resources, "Labels": labels}
    offer = offer_of(node, "worker-host1")
    counted = {"cpu": 4.0, "memory_mb": 1.0, "gpu": 1.0, "npu": 0.0, "Rockchip": 2.0, "empty": 0.0}
    assert offer["resources"] == counted
    assert offer["capabilities"] == [
        "camera", "command", "function", "gpu", "inference", "lidar", "rockchip",
    ]  # fmt: skip
    assert (offer["worker_id"], offer["node_id"]) == ("worker-host1", "a" * 56)
