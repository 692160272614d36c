"""GPUs on made hosts: found by their driver, read from the kernel's files."""

from __future__ import annotations

import os

import pytest

from helix_ray.accelerators import drm
from helix_ray.accelerators.counters import WENT_BACK
from helix_ray.accelerators.device import NEEDS_TWO, SUSPENDED
from helix_ray.accelerators.families import memory_mb
from tests.unit.accelerators.tree import MEMORY_MB, Tree

SLOT = "0000:03:00.0"
AMD = {"vendor": "0x1002", "device": "0x744c"}
INTEL = {"vendor": "0x8086", "device": "0x56a0"}
S = 1_000_000_000


def test_a_host_without_devices_has_none(tree: Tree) -> None:
    """Nothing is invented."""
    assert tree.readings() == []


def test_a_framebuffer_is_no_gpu(tree: Tree) -> None:
    """A card without vendor and driver, a server's display chip and a connector are left out."""
    tree.device("sys/class/drm/card0", None)
    tree.device("sys/class/drm/card1", "ast", "0000:02:00.0", vendor="0x1a03")
    (tree.root / "sys/class/drm/card0-HDMI-A-1").mkdir()
    assert tree.readings() == []


def test_an_amd_card(tree: Tree) -> None:
    """Busy as its firmware says, its own memory, and once although it has two nodes."""
    files = {"gpu_busy_percent": "45", "mem_busy_percent": "3", "product_name": "Radeon PRO W7900"}
    memory = {"mem_info_vram_used": 2 << 30, "mem_info_vram_total": 48 << 30, "mem_info_gtt_total": 8 << 30}
    folder = tree.device("sys/class/drm/card0", "amdgpu", SLOT, **AMD, **files, **memory)
    (tree.root / "sys/class/drm/renderD128").mkdir()
    (tree.root / "sys/class/drm/renderD128/device").symlink_to(tree.root / folder)
    found = tree.one()
    assert (found.device.id, found.device.kind, found.device.capability) == (SLOT, "gpu", "amd-gpu")
    assert found.device.name == "Radeon PRO W7900"
    assert (found.utilization.value, found.utilization.source) == (45.0, "gpu_busy_percent")
    assert (found.memory.used_mb, found.memory.total_mb, found.memory.unified) == (2048, 49152, False)


def test_an_apu_uses_the_systems_memory_too(tree: Tree) -> None:
    """Its part of the memory and the shared one together: the first alone would be 512 MiB."""
    memory = {
        "mem_info_vram_used": 256 << 20,
        "mem_info_vram_total": 512 << 20,
        "mem_info_gtt_used": 1 << 30,
        "mem_info_gtt_total": 15 << 30,
    }
    tree.device("sys/class/drm/card0", "amdgpu", SLOT, **AMD, gpu_busy_percent="250", **memory)
    found = tree.one()
    assert found.utilization.value == 100.0
    assert (found.memory.used_mb, found.memory.total_mb, found.memory.unified) == (1280, 15872, True)


def test_a_suspended_card_is_idle_and_is_not_asked(tree: Tree) -> None:
    """Reading its figures would wake it: they are not opened, though they are there."""
    folder = tree.device("sys/class/drm/card0", "amdgpu", SLOT, **AMD, gpu_busy_percent="7")
    tree.file(f"{folder}/power/runtime_status", "suspended\n")
    busy = tree.root / folder / "gpu_busy_percent"
    busy.unlink()
    # Whoever opened this would wait for a writer for ever.
    os.mkfifo(busy)
    found = tree.one()
    assert (found.utilization.value, found.note) == (0.0, SUSPENDED)
    assert found.memory.used_mb is None


def test_what_cannot_be_read_is_unknown_with_the_reason(tree: Tree) -> None:
    """A file that is missing is no zero."""
    tree.device("sys/class/drm/card0", "amdgpu", SLOT, **AMD)
    found = tree.one()
    assert (found.utilization.value, found.utilization.reason) == (None, "gpu_busy_percent cannot be read")
    assert found.device.name == "AMD GPU 0x744c"


def engines(tree: Tree, pid: int, client: int, render: int, video: int = 0) -> None:
    tree.client(
        pid, 7, "/dev/dri/renderD128", driver="i915", pdev=SLOT, client_id=client,
        engine_render=f"{render} ns", engine_video=f"{video} ns", engine_capacity_video=2,
        resident_local0="1024 MiB",
    )  # fmt: skip


def test_intel_i915_by_what_its_clients_used(tree: Tree) -> None:
    """The busiest engine over all clients, each client once, an engine that there is twice at half."""
    tree.device("sys/class/drm/card0", "i915", SLOT, **INTEL)
    engines(tree, 10, 1, 5 * S, 1 * S)
    # The same client, as a child of the process holds it too.
    engines(tree, 11, 1, 5 * S, 1 * S)
    engines(tree, 12, 2, 1 * S)
    tree.client(13, 3, "/tmp/file", driver="i915", pdev=SLOT, client_id=9, engine_render="9 ns")
    first = tree.one()
    assert (first.utilization.value, first.utilization.reason) == (None, NEEDS_TWO)
    assert (first.memory.used_mb, first.memory.total_mb) == (2048, None)
    engines(tree, 10, 1, 5 * S + S // 2, 2 * S)
    engines(tree, 11, 1, 5 * S + S // 2, 2 * S)
    engines(tree, 12, 2, 1 * S + S // 2)
    second = tree.one_later(2.0)
    assert (second.utilization.value, second.utilization.window_s) == (50.0, 2.0)
    assert second.utilization.source == "fdinfo drm-engine"


def test_clients_that_come_and_go_do_not_turn_the_counter_back(tree: Tree) -> None:
    """One that has left takes its counter away; one that came has used the device since then only."""
    tree.device("sys/class/drm/card0", "i915", SLOT, **INTEL)
    engines(tree, 10, 1, 500 * S)
    tree.one()
    (tree.root / "proc/10/fd/7").unlink()
    engines(tree, 20, 2, 1 * S)
    assert tree.one_later(4.0).utilization.value == 25.0
    (tree.root / "proc/20/fd/7").unlink()
    assert tree.one_later(4.0).utilization.value == 0.0


def cycles(tree: Tree, used: int, passed: int) -> None:
    tree.client(
        10, 4, "/dev/dri/renderD128", driver="xe", pdev=SLOT, client_id=1,
        cycles_rcs=used, total_cycles_rcs=passed, cycles_ccs=used, total_cycles_ccs=passed,
        engine_capacity_ccs=4,
    )  # fmt: skip


def test_intel_xe_by_cycles(tree: Tree) -> None:
    """Used cycles in those that passed, whatever the clock says; a counter that goes back is unknown."""
    tree.device("sys/class/drm/card0", "xe", SLOT, **INTEL)
    cycles(tree, 1000, 100_000)
    assert tree.one().utilization.reason == NEEDS_TWO
    cycles(tree, 41_000, 200_000)
    assert tree.one_later().utilization.value == 40.0
    cycles(tree, 10, 20)
    assert tree.one_later().utilization == drm.unknown(WENT_BACK, "fdinfo drm-cycles")
    cycles(tree, 20, 40)
    assert tree.one_later().utilization.value == 50.0


def test_integrated_intel_graphics_share_the_hosts_memory(tree: Tree) -> None:
    """By its address; and where another GPU has memory of its own, only that counts for tasks."""
    tree.device("sys/class/drm/card0", "i915", "0000:00:02.0", **INTEL)
    found = tree.one()
    assert (found.memory.total_mb, found.memory.unified) == (MEMORY_MB, True)
    assert memory_mb([found]) == MEMORY_MB
    tree.device("sys/class/drm/card1", "amdgpu", SLOT, **AMD, mem_busy_percent=0, mem_info_vram_total=8 << 30)
    assert memory_mb(tree.readings()) == 8192


def test_processes_that_may_not_be_read_are_said(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rights the figure is that of our own processes, and says so."""
    tree.device("sys/class/drm/card0", "i915", SLOT, **INTEL)
    engines(tree, 10, 1, 1 * S)
    (tree.root / "proc/20/fd").mkdir(parents=True)
    listdir = os.listdir

    def refused(path: object) -> list[str]:
        if str(path).endswith("proc/20/fd"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "listdir", refused)
    tree.one()
    engines(tree, 10, 1, 2 * S)
    used = tree.one_later(2.0).utilization
    assert (used.value, used.reason) == (50.0, drm.OWN_ONLY)


def test_two_samples_within_a_second_are_one(tree: Tree) -> None:
    """A window that is too short says nothing: the last result stands."""
    tree.device("sys/class/drm/card0", "i915", SLOT, **INTEL)
    engines(tree, 10, 1, 0)
    tree.one()
    engines(tree, 10, 1, 9 * S)
    assert tree.one_later(0.5).utilization.value is None
    assert tree.one_later(9.5).utilization.value == 90.0


def test_mali_of_the_vendor_by_its_governor(tree: Tree) -> None:
    """`load` is N@Hz over the governor's interval."""
    tree.device("sys/class/devfreq/fb000000.gpu", "mali")
    tree.file("sys/class/devfreq/fb000000.gpu/load", "37@800000000Hz\n")
    tree.file("sys/class/devfreq/fb000000.gpu/polling_interval", "50\n")
    tree.file("sys/class/misc/mali0/device/gpuinfo", "Mali-G610 4 cores r0p0 0xA867\n")
    found = tree.one()
    assert (found.device.name, found.device.capability) == ("Mali-G610", "mali-gpu")
    assert (found.utilization.value, found.utilization.window_s) == (37.0, 0.05)
    assert found.memory.unified


def test_mali_of_the_kernel_counts_only_while_it_is_told_to(tree: Tree) -> None:
    """Without profiling its counters stand still: that is unknown, not idle."""
    folder = tree.device("sys/class/drm/card0", "panthor", profiling="0")
    assert "write 1 to" in str(tree.one().utilization.reason)
    tree.file(f"{folder}/profiling", "1")
    for used, seconds in ((0, 0), (1 * S, 4)):
        tree.client(10, 3, "/dev/dri/renderD128", driver="panthor", client_id=3, engine_panthor=f"{used} ns")
        found = tree.one_later(seconds)
    assert found.utilization.value == 25.0


def test_adreno_of_the_vendor(tree: Tree) -> None:
    """Busy of total; both 0 while it sleeps."""
    tree.file("sys/class/kgsl/kgsl-3d0/gpu_model", "Adreno740v2\n")
    tree.file("sys/class/kgsl/kgsl-3d0/gpubusy", " 250000  1000000\n")
    found = tree.one()
    assert (found.device.name, found.device.capability) == ("Adreno740v2", "adreno-gpu")
    assert (found.utilization.value, found.utilization.window_s) == (25.0, 1.0)
    tree.file("sys/class/kgsl/kgsl-3d0/gpubusy", "0 0\n")
    assert tree.one().utilization.value == 0.0


def test_adreno_of_the_kernel(tree: Tree) -> None:
    """Its clients have no PCI address: they are told by driver."""
    tree.device("sys/class/drm/card0", "msm_dpu")
    for used, seconds in ((0, 0), (3 * S, 4)):
        tree.client(10, 3, "/dev/dri/card0", driver="msm", client_id=3, engine_gpu=f"{used} ns")
        found = tree.one_later(seconds)
    assert found.utilization.value == 75.0


def test_jetson(tree: Tree) -> None:
    """Per mille, and the name of the board."""
    tree.file("proc/device-tree/compatible", "nvidia,p3737-0000\0nvidia,tegra234\0")
    tree.file("proc/device-tree/model", "NVIDIA Jetson AGX Orin\0")
    tree.file("sys/devices/platform/gpu.0/load", "423\n")
    found = tree.one()
    assert (found.device.name, found.device.capability) == ("NVIDIA Jetson AGX Orin", "jetson-gpu")
    assert (found.utilization.value, found.memory.total_mb) == (42.3, MEMORY_MB)


def test_two_makers_in_one_folder(tree: Tree) -> None:
    """Each card is read by its own maker's way."""
    tree.device("sys/class/drm/card0", "i915", "0000:00:02.0", **INTEL)
    tree.device("sys/class/drm/card1", "amdgpu", SLOT, **AMD, gpu_busy_percent="5")
    assert [(found.device.vendor, found.utilization.value) for found in tree.readings()] == [
        ("AMD", 5.0),
        ("Intel", None),
    ]
