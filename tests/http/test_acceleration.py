"""Accelerators over HTTP: what there is, how busy it is and was, and what is not known and why."""

from __future__ import annotations

from typing import Any

from helix_ray.core.answers.optimizations import VariantInUse, optimizations_of
from helix_ray.wire.acceleration import AccelerationOut, NodeDevicesOut
from tests.http.api_server import error_of
from tests.http.devices import device
from tests.http.fleet import Fleet
from tests.http.shapes import shaped

PATH = "/harmony/ai/acceleration"


def ask(fleet: Fleet, node: str | None = None) -> dict[str, Any]:
    """Return the acceleration, which has the documented form."""
    answer = fleet.admin.get(PATH, params={"node": node} if node else {})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    shaped(AccelerationOut, content)
    return content


def test_without_nodes_and_without_devices(fleet: Fleet) -> None:
    """Nothing is available, nothing is invented, and the reason says which of both it is."""
    for kind in ("npu", "gpu"):
        told = ask(fleet)[kind]
        assert (told["available"], told["model"], told["utilization"]) == (False, None, None)
        assert told["reason"] == "no node is connected"
    fleet.beat(fleet.node("a"))
    assert ask(fleet)["npu"]["reason"] == "no node has a driver of one"


def test_every_value_has_its_source_and_window(fleet: Fleet) -> None:
    """The mean over the devices that are known; the others are counted, with their reason."""
    first, second = fleet.node("a", gpu=2.0), fleet.node("b", gpu=1.0)
    fleet.beat(first, devices=[device("gpu", 0, utilization=90.0), device("gpu", 1, utilization=10.0)])
    fleet.beat(second, devices=[device("gpu", 0, name="NVIDIA A2", utilization=None, reason="mig")])
    gpu = ask(fleet)["gpu"]
    assert (gpu["available"], gpu["model"], gpu["utilization"]) == (True, "NVIDIA H200", 50.0)
    assert (gpu["count"], gpu["known"], gpu["window_s"]) == (3, 2, 1.0)
    assert gpu["source"] == "nvmlDeviceGetUtilizationRates"
    assert gpu["reason"] == "1 of 3 not known: mig"
    assert [(told["node"], told["index"]) for told in gpu["devices"]] == [(first, 0), (first, 1), (second, 0)]
    of_one = ask(fleet, second)
    assert (of_one["node"], of_one["gpu"]["model"], of_one["gpu"]["utilization"]) == (
        second,
        "NVIDIA A2",
        None,
    )
    assert (of_one["gpu"]["available"], of_one["gpu"]["reason"]) == (True, "mig")
    fleet.lose(first)
    assert ask(fleet)["gpu"]["count"] == 1
    error_of(fleet.admin.get(PATH, params={"node": "worker-none"}), 404, "NOT_FOUND")
    error_of(fleet.admin.get(PATH, params={"nod": "x"}), 400, "VALIDATION_ERROR")


def test_logical_resources_are_never_available(fleet: Fleet) -> None:
    """`--node-resources '[{"GPU":4}]'` is for trying things out; so is a device that no driver reports."""
    node_id = fleet.node("a", gpu=4.0, labels={"helix-simulated": "GPU"})
    fleet.beat(node_id)
    gpu = ask(fleet)["gpu"]
    assert (gpu["available"], gpu["simulated"], gpu["model"], gpu["utilization"]) == (False, True, None, None)
    assert gpu["reason"] == f"only logical: declared without a device by {node_id}"
    assert [(told["node"], told["simulated"]) for told in gpu["devices"]] == [(node_id, True)]
    declared = fleet.node("b", npu=1.0)
    fleet.beat(declared)
    npu = ask(fleet)["npu"]
    assert (npu["available"], npu["simulated"]) == (False, False)
    assert npu["reason"] == f"{declared} offers it, but no driver reports a device there"


def test_the_history_of_a_device(fleet: Fleet) -> None:
    """A point for ten seconds, with the mean and the maximum; unknown where it was unknown."""
    node_id = fleet.node("a", gpu=1.0)
    for value in (10.0, 30.0, None):
        fleet.beat(node_id, devices=[device("gpu", 0, utilization=value)])
        fleet.clock.advance(10)
    path = f"/harmony/nodes/{node_id}/devices"
    content = fleet.admin.get(path).json()
    shaped(NodeDevicesOut, content)
    (told,) = content["devices"]
    assert (content["node"], content["point_s"], told["name"]) == (node_id, 10.0, "NVIDIA H200")
    assert [point["utilization"] for point in told["history"]] == [10.0, 30.0, None]
    (last,) = fleet.admin.get(path, params={"points": 1}).json()["devices"][0]["history"]
    assert last == told["history"][-1]
    error_of(fleet.admin.get(path, params={"points": 1_000_000}), 400, "VALIDATION_ERROR")
    error_of(fleet.admin.get("/harmony/nodes/worker-none/devices"), 404, "NOT_FOUND")


def test_an_explanation_says_how_busy_the_devices_are(fleet: Fleet) -> None:
    """Of the nodes of a waiting task that asks for them, and of no other."""
    node_id = fleet.node("a", gpu=1.0)
    for value in (100.0, 50.0):
        fleet.beat(node_id, devices=[device("gpu", 0, utilization=value), device("npu", 0)])
        fleet.clock.advance(10)
    fleet.submit(resources={"gpu": 1})
    waiting = fleet.submit(resources={"gpu": 1})
    (verdict,) = fleet.explain(waiting)["nodes"]
    assert verdict["devices"] == [
        {
            "kind": "gpu", "index": 0, "name": "NVIDIA H200", "utilization": 50.0, "utilization_5m": 75.0,
            "reason": None, "memory_used_mb": 1024, "memory_total_mb": 143771,
        }
    ]  # fmt: skip
    fleet.submit(resources={"cpu": 3})
    plain = fleet.submit(resources={"cpu": 3})
    assert all("devices" not in each for each in fleet.explain(plain)["nodes"])


def test_the_documented_example_is_placed_on_a_gpu(fleet: Fleet) -> None:
    """`required_capabilities: ["gpu", "ai_acceleration"]`, as the API reference has it."""
    fleet.node("a")
    node_id = fleet.node("b", gpu=1.0)
    task_id = fleet.manual()
    wanted = ["gpu", "ai_acceleration"]
    placed = fleet.distribute(task_id, distribution_strategy="round_robin", required_capabilities=wanted)
    assert placed["assigned_nodes"] == [node_id]


def test_who_may_read_it(fleet: Fleet) -> None:
    """As nodes: everybody but workers."""
    paths = (PATH, f"/harmony/nodes/{fleet.node('a')}/devices")
    viewer, worker = fleet.api.add("vera", "viewer"), fleet.api.add("wim", "worker")
    for path in paths:
        assert viewer.get(path).status_code == 200
        error_of(worker.get(path), 403, "FORBIDDEN")
        error_of(fleet.api.anonymous().get(path), 401, "UNAUTHORIZED")


def test_optimizations_say_what_models_run_with(fleet: Fleet) -> None:
    """Nothing is enabled by default; FP16 on the CPU provider is storage, and says so."""
    nothing = ask(fleet)["optimizations"]
    assert (nothing["quantization"], nothing["pruning"], nothing["precision"], nothing["compute"]) == (
        "disabled", "disabled", "FP32", "FP32",
    )  # fmt: skip
    assert nothing["quantization_reason"].startswith("no model is published")
    half = optimizations_of([VariantInUse("digits", "fp16-storage", "FP32")])
    assert (half["precision"], half["compute"], half["quantization"]) == ("FP16", "FP32", "disabled")
    assert half["precision_reason"] == "files are FP16, arithmetic is FP32"
    on_gpu = optimizations_of([VariantInUse("digits", "fp16", "FP16", "CUDAExecutionProvider")])
    assert (on_gpu["precision"], on_gpu["compute"], on_gpu["precision_reason"]) == ("FP16", "FP16", None)
    int8 = VariantInUse("a", "int8-static", "INT8")
    mixed = optimizations_of([int8, VariantInUse("b", "fp32", "FP32"), VariantInUse("c", "fp32", "FP32")])
    assert (mixed["quantization"], mixed["precision"]) == ("enabled", "FP32")
    assert mixed["precision_reason"] == "2 of 3 variants in use"
    refused = optimizations_of([VariantInUse("a", "int8-static", "INT8", passed=False)])
    assert (refused["quantization"], refused["pruning"]) == ("disabled", "disabled")
