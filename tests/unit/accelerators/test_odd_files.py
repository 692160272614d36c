"""Whatever stands in the kernel's files: no reader fails, and no value is out of its bounds."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from helix_ray.accelerators.all_smi import parse
from helix_ray.accelerators.device import Reading, as_sample
from helix_ray.accelerators.xdna import RECORD, column_utilization
from helix_ray.core.device_usage import whole_device
from tests.unit.accelerators.tree import Tree

ODD = ["", "\0", "nan", "inf", "-1", "1e999", "²", "٣", "99999999999999999999999999", "\n\n", "a" * 70_000,
       "Core0: 999999999999%", "-5@0Hz", "drm-engine-x: ns", "DRIVER=\n=\nPCI_SLOT_NAME"]  # fmt: skip
BYTES = [b"\xff\xfe\x00", bytes(range(256))]
AMD_MEMORY = {
    f"mem_info_{region}_{what}": 1 << 30 for region in ("vram", "gtt") for what in ("used", "total")
}


def everything(tree: Tree) -> None:
    """Make a host with a device of each family."""
    tree.device("sys/class/drm/card0", "i915", "0000:00:02.0", vendor="0x8086", device="0x1")
    tree.device("sys/class/drm/card1", "xe", "0000:01:00.0", vendor="0x8086", device="0x2")
    tree.device(
        "sys/class/drm/card2", "amdgpu", "0000:02:00.0", vendor="0x1002", gpu_busy_percent=1, **AMD_MEMORY
    )
    tree.device("sys/class/drm/card3", "panthor", profiling=1)
    tree.device("sys/class/drm/renderD129", "RKNPU")
    tree.device("sys/class/accel/accel0", "intel_vpu", "0000:00:0b.0", vendor="0x8086", npu_busy_time_us=5)
    tree.device("sys/class/accel/accel1", "amdxdna", "0000:04:00.1", vendor="0x1022", vbnv="NPU")
    tree.device("sys/class/devfreq/a.gpu", "mali", load="1@5Hz", polling_interval="50")
    tree.file("sys/class/kgsl/kgsl-3d0/gpubusy", "1 2")
    tree.file("sys/class/kgsl/kgsl-3d0/gpu_busy_percentage", "7 %")
    tree.file("sys/kernel/debug/rknpu/load", "NPU load: 5%")
    tree.file("proc/device-tree/compatible", "nvidia,tegra\0rockchip,rk1\0")
    tree.file("sys/devices/gpu.0/load", "5")
    tree.file("dev/davinci0", "")
    tree.file("dev/hailo0", "")
    for pid, driver, slot in ((1, "i915", "0000:00:02.0"), (2, "xe", "0000:01:00.0"), (3, "panthor", "")):
        fields = {"driver": driver, "client_id": pid, "engine_x": "5 ns", "cycles_x": 5, "total_cycles_x": 9}
        more = {"pdev": slot, "resident_system0": "5 KiB", "engine_capacity_x": 2} if slot else {}
        tree.client(pid, 3, "/dev/dri/card0", **fields, **more)


def check(readings: list[Reading]) -> None:
    """Every value is within its bounds, or missing with its reason."""
    for reading in readings:
        usage = whole_device(as_sample(0, reading))
        value = usage["utilization"]
        assert usage["reason" if value is None else "source"], usage
        assert value is None or (math.isfinite(value) and 0 <= value <= 100), usage
        assert usage["window_s"] is None or math.isfinite(usage["window_s"])
        for size in (usage["memory_used_mb"], usage["memory_total_mb"]):
            assert size is None or 0 <= size < 1 << 53


@pytest.mark.parametrize("seed", range(40))
def test_no_content_of_a_file_makes_a_reader_fail(tmp_path: Path, seed: int) -> None:
    """Some files are odd, some are gone, between two samples others are."""
    chance = random.Random(seed)
    tree = Tree(tmp_path)
    everything(tree)
    assert len(tree.readings()) >= 10
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    for _ in range(3):
        for path in chance.sample(files, len(files) // 3):
            if chance.random() < 0.2:
                path.unlink(missing_ok=True)
            elif path.parent.exists():
                odd = chance.choice([*ODD, *BYTES])
                path.write_bytes(odd if isinstance(odd, bytes) else odd.encode())
        for argv in (("npu-smi", "info", "-t", "usages", "-i", "0"),):
            tree.said[argv] = (
                f"Aicore Usage Rate(%) : {chance.choice(ODD)}\nHBM Capacity(MB) : {chance.choice(ODD)}\n"
            )
        tree.now += chance.choice([0.0, 0.5, 2.0])
        check(tree.readings())


@pytest.mark.parametrize("odd", ODD)
def test_odd_metrics_and_records(odd: str) -> None:
    """Of all-smi and of the NPU's sensors: cut, too large, or no numbers."""
    lines = (
        f'all_smi_gpu_utilization{{gpu="RBLN"}} {odd}\nall_smi_gpu_memory_total_bytes{{gpu="RBLN"}} {odd}\n'
    )
    check(parse(lines + 'all_smi_gpu_memory_used_bytes{gpu="RBLN"} 1e999\n'))
    records = (odd.encode() + RECORD.pack(b"", 4_000_000_000, 0, 0, 0, b"", b"", 127, 1))[:500]
    found = column_utilization(records)
    assert found is None or math.isfinite(found)
