"""What a Ray node becomes as a worker: resources in our names, capabilities from them and from its label."""

from __future__ import annotations

from pathlib import Path

from actors.devices import sampler_of
from actors.node_care import offer_of
from actors.usage import NodeOffer, inference_class, registration, tell_models
from helix_ray.core.folder_models import MODELS_LABEL, NAMES_MAX
from helix_ray.inference.node_class import node_class, nvidia_gpus

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
        "ai_acceleration", "camera", "command", "function", "gpu", "inference", "lidar", "rockchip",
    ]  # fmt: skip
    assert (offer["worker_id"], offer["node_id"]) == ("worker-host1", "a" * 56)


def test_nodes_without_gpus_of_their_own_share_the_class_of_their_host() -> None:
    """Of several nodes on one host, one has the GPUs; logical GPUs are none."""
    plain = offer(resources={"cpu": 2.0, "gpu": 0.0}, labels={})
    logical = offer(resources={"cpu": 2.0, "gpu": 4.0}, labels={"helix-simulated": "GPU"})
    assert inference_class(plain) == inference_class(logical) == node_class(gpus=[]).name


def test_a_node_tells_the_models_in_its_folder(tmp_path: Path) -> None:
    """And whether they are others than before; a folder with very many tells none, and any may be named."""
    plain = offer(resources={}, labels={"a": "b"})
    (tmp_path / "mobile.onnx").touch()
    assert tell_models(plain, tmp_path)
    assert plain["labels"] == {"a": "b", MODELS_LABEL: "mobile"}
    (tmp_path / "Not A Name.onnx").touch()
    assert not tell_models(plain, tmp_path)
    (tmp_path / "depth.onnx").touch()
    assert tell_models(plain, tmp_path)
    assert plain["labels"][MODELS_LABEL] == "depth,mobile"
    for number in range(NAMES_MAX):
        (tmp_path / f"m{number}.onnx").touch()
    assert tell_models(plain, tmp_path)
    assert registration(plain, "boot").labels == {"a": "b"}
    assert tell_models(plain, tmp_path / "none")
    assert plain["labels"][MODELS_LABEL] == ""


def test_the_class_of_a_gpu_is_that_of_its_driver_or_of_ray() -> None:
    """Where the driver's files are missing, as in some containers, Ray's name of the card counts. A logical
    NPU beside it changes nothing."""
    found = nvidia_gpus() or ["H200"]
    card = offer(resources={"cpu": 2.0, "gpu": 1.0}, labels={"ray.io/accelerator-type": "H200"})
    beside = offer(
        resources={"cpu": 2.0, "gpu": 1.0, "npu": 1.0},
        labels={"ray.io/accelerator-type": "H200", "helix-simulated": "NPU"},
    )
    unnamed = offer(resources={"cpu": 2.0, "gpu": 1.0}, labels={})
    assert inference_class(card) == inference_class(beside) == node_class(gpus=found).name
    assert inference_class(unnamed) == node_class(gpus=nvidia_gpus()).name


def offer(resources: dict[str, float], labels: dict[str, str]) -> NodeOffer:
    return {
        "worker_id": "worker-a", "node_id": "a" * 56, "hostname": "h", "resources": resources,
        "labels": labels, "capabilities": [],
    }  # fmt: skip


def test_a_gpu_that_ray_does_not_count_accelerates_too() -> None:
    """The label names it; the capability of the API reference has the label's separator in its own name."""
    labels = {"helix-capabilities": "gpu_mali-gpu"}
    node = {"NodeID": "a" * 56, "NodeManagerHostname": "h", "Resources": {"CPU": 4.0}, "Labels": labels}
    capabilities = offer_of(node, "worker-host1")["capabilities"]
    assert {"gpu", "mali-gpu", "ai_acceleration"} <= {*capabilities}


def test_only_the_first_node_of_a_host_samples_its_devices() -> None:
    """And none of kinds that are logical there."""
    assert sampler_of({"gpu": 0.0}, {"helix-node-index": "1"}, "") is None
    assert sampler_of({"gpu": 1.0}, {"helix-simulated": "GPU.NPU"}, "") is None
    assert sampler_of({"gpu": 1.0}, {"helix-node-index": "0", "helix-simulated": "GPU"}, "") is not None
