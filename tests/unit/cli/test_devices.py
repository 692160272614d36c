"""Devices in the tables of commands: what is unknown is empty, with its reason beside it."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.cli import acceleration, placement
from helix_ray.core.device_usage import whole_device
from tests.http.devices import device


def shown(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    """Return a device as the API shows it."""
    return {**whole_device(device(kind, index, **fields)), "node": "worker-a", "simulated": False}


def test_the_accelerators_of_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each kind, what models run with, and a row for each device; logical ones are named so."""
    npu = shown(
        "npu", 0, name="Intel AI Boost", utilization=None, reason="suspicious", unified=True,
        memory_used_mb=None, memory_total_mb=32768,
    )  # fmt: skip
    gpu = shown("gpu", 0)
    logical = {**shown("gpu", 1, name=None, utilization=None), "node": "worker-b", "simulated": True}
    found: Any = {
        "node": None,
        "npu": {
            "available": True, "model": "Intel AI Boost", "utilization": None, "reason": "suspicious",
            "count": 1, "devices": [npu],
        },
        "gpu": {
            "available": True, "model": "NVIDIA H200", "utilization": 50.0, "reason": None,
            "count": 1, "devices": [gpu, logical],
        },
        "optimizations": {
            "quantization": "enabled", "quantization_reason": None, "pruning": "disabled",
            "pruning_reason": "no variant is pruned", "precision": "FP16", "compute": "FP32",
            "precision_reason": None,
        },
    }  # fmt: skip
    acceleration._print(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "npu: 1 x Intel AI Boost, load unknown (suspicious)",
        "gpu: 1 x NVIDIA H200, 50 % busy",
        "quantization enabled",
        "pruning disabled (no variant is pruned)",
        "precision FP16, computed in FP32",
    ]
    rows = [line.split("  ") for line in lines[6:]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0][:4] == ["worker-a", "npu 0", "Intel AI Boost", "? of 32768 MiB shared"]
    assert cells[1][:5] == ["worker-a", "gpu 0", "NVIDIA H200", "50 %", "1024 of 143771 MiB"]
    assert cells[2][:3] == ["worker-b", "gpu 1", "logical"]


def test_the_devices_of_an_explanation() -> None:
    """Now, in the last five minutes, and why not."""
    load: Any = {
        "kind": "gpu", "index": 0, "name": "A", "utilization": None, "utilization_5m": 12.5, "reason": "mig",
        "memory_used_mb": 1, "memory_total_mb": 2,
    }  # fmt: skip
    nodes: Any = [{"node": "n", "devices": [load]}, {"node": "m"}]
    assert [*placement._device_rows(nodes)] == [("n", "gpu 0", "A", "", "12.5 %", "1 of 2 MiB", "mig")]
