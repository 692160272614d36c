"""NPUs on made hosts: told by driver, never by number."""

from __future__ import annotations

from pathlib import Path

from helix_ray.accelerators.all_smi import AllSmi
from helix_ray.accelerators.counters import WENT_BACK
from helix_ray.accelerators.device import NEEDS_TWO, SUSPENDED
from helix_ray.accelerators.families import capabilities_of
from helix_ray.accelerators.xdna import RECORD, SENSORS, Xdna
from tests.unit.accelerators.tree import MEMORY_MB, Tree

SLOT, AMD_SLOT = "0000:00:0b.0", "0000:c4:00.1"
INTEL = {"vendor": "0x8086", "device": "0x643e"}
AMD = {"vendor": "0x1022", "device": "0x17f0"}


def test_an_intel_npu(tree: Tree) -> None:
    """Busy microseconds of a window, its name by PCI id, its memory the host's."""
    memory = {"npu_memory_utilization": 300 << 20}
    folder = tree.device("sys/class/accel/accel0", "intel_vpu", SLOT, **INTEL, npu_busy_time_us=0, **memory)
    assert tree.one().utilization.reason == NEEDS_TWO
    tree.file(f"{folder}/npu_busy_time_us", 910_000)
    found = tree.one_later(2.0)
    assert (found.device.id, found.device.name) == (SLOT, "Intel AI Boost (Lunar Lake)")
    assert (found.utilization.value, found.utilization.window_s) == (45.5, 2.0)
    assert (found.memory.used_mb, found.memory.total_mb, found.memory.unified) == (300, MEMORY_MB, True)


def test_a_counter_that_goes_back_is_unknown_once(tree: Tree) -> None:
    """After a reset the driver begins at 0: not -5000 %, and known again in the next window."""
    folder = tree.device("sys/class/accel/accel0", "intel_vpu", SLOT, **INTEL, npu_busy_time_us=90_000_000)
    tree.one()
    tree.file(f"{folder}/npu_busy_time_us", 10)
    back = tree.one_later().utilization
    assert (back.value, back.reason) == (None, WENT_BACK)
    tree.file(f"{folder}/npu_busy_time_us", 1_000_010)
    assert tree.one_later().utilization.value == 50.0


def test_a_kernel_without_the_counter(tree: Tree) -> None:
    """The device is there, and how busy it is is not known."""
    tree.device("sys/class/accel/accel0", "intel_vpu", SLOT, **INTEL)
    found = tree.one()
    assert found.utilization.value is None
    assert "kernels before 6.11" in str(found.utilization.reason)


def test_a_suspended_npu_is_there_and_idle(tree: Tree) -> None:
    """It sleeps whenever nobody uses it."""
    folder = tree.device("sys/class/accel/accel0", "intel_vpu", SLOT, **INTEL, npu_busy_time_us=5)
    tree.file(f"{folder}/power/runtime_status", "suspended")
    found = tree.one()
    assert (found.utilization.value, found.note) == (0.0, SUSPENDED)


def test_two_makers_and_an_unknown_one_in_the_class(tree: Tree) -> None:
    """The number says nothing: accel0 is AMD's here, accel1 Intel's, and accel2 nobody's that we know."""
    tree.device("sys/class/accel/accel0", "amdxdna", AMD_SLOT, **AMD, vbnv="RyzenAI-npu4")
    tree.device("sys/class/accel/accel1", "intel_vpu", SLOT, **INTEL, npu_busy_time_us=1)
    tree.device("sys/class/accel/accel2", "something", "0000:01:00.0", vendor="0x1234")
    # Another maker's device with a name that only looks like Intel's.
    tree.device("sys/class/accel/accel3", "intel_vpu", "0000:09:00.0", vendor="0x1234")
    found = {r.device.capability: r.device.name for r in tree.readings()}
    assert found == {"intel-npu": "Intel AI Boost (Lunar Lake)", "amd-npu": "RyzenAI-npu4"}


def sensor(value: int, kind: int, exponent: int = 0) -> bytes:
    return RECORD.pack(b"column", value, 100, 0, 0, b"ok", b"%", exponent, kind)


def test_an_xdna_npu_by_its_sensors(tree: Tree) -> None:
    """The mean of the columns, with the exponent of each; sensors of another kind do not count."""
    tree.device("sys/class/accel/accel3", "amdxdna", AMD_SLOT, **AMD)
    asked: list[Path] = []

    def ask(path: Path) -> bytes:
        asked.append(path)
        return sensor(30, 1) + sensor(5, 1, 1) + sensor(9000, 0) + b"rest"

    used = tree.one([Xdna(ask)]).utilization
    assert (used.value, used.source, used.window_s) == (40.0, SENSORS, 0.0)
    assert asked == [tree.root / "dev/accel/accel3"]


def test_an_xdna_npu_by_its_clients(tree: Tree) -> None:
    """Where the driver has no sensors, or we may not ask; without both it is unknown (XDNA 1)."""
    tree.device("sys/class/accel/accel0", "amdxdna", AMD_SLOT, **AMD)
    assert "XDNA 1" in str(tree.one().utilization.reason)
    for used, seconds in ((0, 0), (1_000_000_000, 2)):
        tree.client(
            10, 3, "/dev/accel/accel0", driver="amdxdna_accel_driver", pdev=AMD_SLOT, client_id=1,
            engine_npu_amdxdna=f"{used} ns",
        )  # fmt: skip
        found = tree.one_later(seconds)
    assert found.utilization.value == 50.0


def test_a_suspended_xdna_npu_is_not_opened(tree: Tree) -> None:
    """Opening its device file would wake it."""

    def ask(path: Path) -> bytes:
        raise AssertionError(f"{path} was opened")

    folder = tree.device("sys/class/accel/accel0", "amdxdna", AMD_SLOT, **AMD)
    tree.file(f"{folder}/power/runtime_status", "suspended")
    assert tree.one([Xdna(ask)]).note == SUSPENDED


def test_rockchip_by_the_vendors_driver(tree: Tree) -> None:
    """The mean of its cores and each of them; never a GPU, though it has a render node."""
    tree.device("sys/class/drm/renderD129", "RKNPU")
    tree.file("proc/device-tree/compatible", "xunlong,orangepi-5\0rockchip,rk3588\0")
    tree.file("sys/kernel/debug/rknpu/load", "NPU load:  Core0: 60%, Core1: 30%, Core2:  0%,\n")
    found = tree.one()
    assert (found.device.kind, found.device.name) == ("npu", "RK3588 NPU")
    assert (found.utilization.value, found.note) == (30.0, "core 0: 60 %, core 1: 30 %, core 2: 0 %")
    tree.file("sys/kernel/debug/rknpu/load", "NPU load:  17%\n")
    assert tree.one().utilization.value == 17.0


def test_rockchip_without_root(tree: Tree) -> None:
    """The governor's load where debugfs may not be read, and the reason where there is neither."""
    tree.file("dev/rknpu", "")
    assert "it is for root" in str(tree.one().utilization.reason)
    tree.file("sys/class/devfreq/fdab0000.npu/load", "88@1000000000Hz\n")
    found = tree.one()
    assert (found.device.id, found.utilization.value) == ("fdab0000.npu", 88.0)


def test_rockchip_by_the_kernels_driver(tree: Tree) -> None:
    """One NPU, however many cores are listed; its use is not reported."""
    for core in range(3):
        tree.device(f"sys/class/accel/accel{core}", "rocket")
    found = tree.one()
    assert (found.device.driver, found.utilization.value) == ("rocket", None)


def test_ascend_by_its_tool(tree: Tree) -> None:
    """Where npu-smi is; Ray counts the device itself."""
    tree.file("dev/davinci2", "")
    tree.file("dev/davinci_manager", "")
    found = tree.one()
    assert (found.device.id, found.utilization.value, found.device.counted_by_ray) == ("davinci2", None, True)
    tree.said["npu-smi", "info", "-t", "usages", "-i", "2"] = (
        "\tNPU ID                         : 2\n\tChip Count                     : 1\n\n"
        "\tHBM Capacity(MB)               : 65536\n\tHBM Usage Rate(%)              : 50\n"
        "\tAicore Usage Rate(%)           : 62\n"
    )
    found = tree.one()
    assert (found.utilization.value, found.memory.used_mb, found.memory.total_mb) == (62.0, 32768, 65536)


def test_devices_that_are_only_known_by_name(tree: Tree) -> None:
    """They are there, and what they do is not known; Gaudi is counted by Ray."""
    tree.device("sys/class/accel/accel0", "qaic", "0000:01:00.0")
    tree.device("sys/class/accel/accel1", "habanalabs", "0000:02:00.0")
    for path in ("dev/hailo0", "dev/apex_0", "dev/fastrpc-cdsp"):
        tree.file(path, "")
    found = {r.device.capability: r.utilization.value for r in tree.readings()}
    assert found == {
        "qualcomm-npu": None, "gaudi": None, "hailo-npu": None, "coral-tpu": None,
    }  # fmt: skip
    devices = [r.device for r in tree.readings()]
    assert capabilities_of(devices) == ["coral-tpu", "hailo-npu", "qualcomm-npu"]


METRICS = """# HELP all_smi_gpu_utilization GPU utilization percentage
all_smi_gpu_utilization{gpu="RBLN-CA22", instance="h", uuid="u-1", index="0"} 25.5
all_smi_gpu_memory_used_bytes{gpu="RBLN-CA22", instance="h", uuid="u-1", index="0"} 1073741824
all_smi_gpu_memory_total_bytes{gpu="RBLN-CA22", instance="h", uuid="u-1", index="0"} 17179869184
all_smi_gpu_utilization{gpu="Intel Gaudi 3", uuid="u-2", index="1"} 7
all_smi_gpu_utilization{gpu="NVIDIA H200", uuid="GPU-1", index="2"} 99
all_smi_gpu_utilization{gpu="broken", uuid="u-3"} .
all_smi_cpu_utilization{cpu_model="x"} 20
"""


def test_all_smi_adds_what_nobody_else_reads(tree: Tree) -> None:
    """NVIDIA's are ours already; while it does not answer, its devices stay, without values."""
    answers = [METRICS]

    def fetch(url: str) -> str:
        if not answers:
            raise OSError(f"{url}: connection refused")
        return answers.pop()

    family = AllSmi("http://127.0.0.1:9090/metrics", fetch)
    found = {r.device.name: r for r in tree.readings([family])}
    assert set(found) == {"RBLN-CA22", "Intel Gaudi 3"}
    rbln = found["RBLN-CA22"]
    assert (rbln.device.kind, rbln.device.capability) == ("npu", "rbln-npu")
    assert (rbln.utilization.value, rbln.memory.used_mb, rbln.memory.total_mb) == (25.5, 1024, 16384)
    assert {r.utilization.value for r in tree.readings([family])} == {None}
