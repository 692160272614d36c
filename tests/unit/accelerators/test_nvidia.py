"""NVIDIA's cards by a binding of NVML that answers, refuses, dies, hangs and comes back."""

from __future__ import annotations

import pytest

from helix_ray.accelerators import nvidia
from helix_ray.accelerators.device import SUSPENDED
from helix_ray.accelerators.nvidia import Nvidia
from tests.unit.accelerators.nvml import FakeNvml, card
from tests.unit.accelerators.tree import MEMORY_MB, Tree

SLOT = "0000:65:00.0"
MODEL = "Model: \t\t NVIDIA H100\nIRQ:   \t\t 1\n"


def test_cards_are_read_by_nvml(tree: Tree) -> None:
    """Name, share of the last second, and memory of its own; Ray counts them itself."""
    first, second = tree.readings([Nvidia(FakeNvml(card(0), card(1, busy=98, name="NVIDIA H200")))])
    assert (first.device.id, first.device.name, first.device.counted_by_ray) == ("GPU-0", "NVIDIA H100", True)
    assert (first.utilization.value, first.utilization.window_s) == (50.0, nvidia.WINDOW_S)
    assert (first.memory.used_mb, first.memory.total_mb, first.memory.unified) == (1024, 81920, False)
    assert (second.device.name, second.utilization.value) == ("NVIDIA H200", 98.0)


def test_a_card_in_instances_has_no_utilization(tree: Tree) -> None:
    """NVML says 0 or that it is not supported under MIG: neither is told; its memory is known."""
    found = tree.one([Nvidia(FakeNvml(card(mig=(1, 1), busy=0)))])
    assert (found.utilization.value, found.utilization.reason) == (None, "mig")
    assert (found.memory.total_mb, found.note) == (81920, "no instances")
    parts = FakeNvml(card(mig=(1, 1), parts=2), card(memory=(1 << 30, 10 << 30)))
    found = tree.readings([Nvidia(parts)])[0]
    assert found.note == "2 instances: 1024 of 10240 MiB, 1024 of 10240 MiB"
    assert tree.one([Nvidia(FakeNvml(card(mig=(0, 0))))]).utilization.value == 50.0


@pytest.mark.parametrize("memory", ["!Not Supported", (0, 0), (5, 1 << 63), (9, 3)])
def test_unified_memory_is_the_hosts(tree: Tree, memory: object) -> None:
    """NVML refuses, or succeeds with nonsense, by driver; the scheduler must not see 0 GB."""
    found = tree.one(
        [Nvidia(FakeNvml(card(name="NVIDIA GB10", memory=memory, processes=[1 << 30, 2 << 30])))]
    )
    assert (found.memory.total_mb, found.memory.used_mb, found.memory.unified) == (MEMORY_MB, 3072, True)
    unknown = tree.one([Nvidia(FakeNvml(card(memory=memory)))])
    assert (unknown.memory.used_mb, unknown.memory.unified) == (None, True)


def test_another_error_about_memory_is_no_unified_memory(tree: Tree) -> None:
    """It is unknown, with what NVML said."""
    memory = tree.one([Nvidia(FakeNvml(card(memory="!Insufficient Permissions")))]).memory
    assert (memory.total_mb, memory.unified, memory.reason) == (None, False, "NVML: Insufficient Permissions")


def test_the_driver_dies_and_comes_back(tree: Tree) -> None:
    """After an update of the driver every call fails: its cards stay, unknown with the reason; NVML is
    opened again, after longer and longer waits, and then they are known."""
    binding = FakeNvml(card())
    family = [Nvidia(binding)]
    assert tree.one(family).utilization.value == 50.0
    binding.dead = "Driver/library version mismatch"
    dead = tree.one(family)
    assert (dead.device.id, dead.device.name, dead.utilization.value) == ("GPU-0", "NVIDIA H100", None)
    assert dead.utilization.reason == "NVML: Driver/library version mismatch"
    calls = binding.calls
    assert tree.one(family).utilization.value is None
    assert binding.calls == calls, "it was asked again without a wait"
    tree.now += 1.5
    assert tree.one(family).utilization.value is None
    binding.dead = None
    tree.now += 1.5
    assert tree.one(family).utilization.value is None, "the second wait is longer"
    tree.now += 1.0
    assert tree.one(family).utilization.value == 50.0
    assert binding.opened == 2


def test_one_lost_card_does_not_take_the_others_with_it(tree: Tree) -> None:
    """Only it is unknown, under its own id."""
    binding = FakeNvml(card(0), card(1))
    family = [Nvidia(binding)]
    tree.readings(family)
    binding.cards[0]["lost"] = True
    lost, other = tree.readings(family)
    assert (lost.device.id, lost.utilization.reason) == ("GPU-0", "NVML: GPU is lost")
    assert other.utilization.value == 50.0


def test_without_the_library_there_are_the_kernels_cards_or_none(tree: Tree) -> None:
    """A container without NVML may still see the kernel module's files."""
    binding = FakeNvml()
    binding.dead = "NVML Shared Library Not Found"
    assert tree.readings([Nvidia(binding)]) == []
    tree.file(f"proc/driver/nvidia/gpus/{SLOT}/information", MODEL)
    found = tree.one([Nvidia(binding)])
    assert (found.device.id, found.device.name) == (SLOT, "NVIDIA H100")
    assert found.utilization.reason == "NVML: NVML Shared Library Not Found"


def test_sleeping_cards_are_not_woken(tree: Tree) -> None:
    """A laptop's card sleeps for most of the day: NVML is not called while all of them do."""
    folder = tree.device("sys/class/drm/card1", "nvidia", SLOT, vendor="0x10de")
    tree.file(f"{folder}/power/runtime_status", "suspended")
    tree.file(f"proc/driver/nvidia/gpus/{SLOT}/information", MODEL)
    binding = FakeNvml(card())
    found = tree.one([Nvidia(binding)])
    assert (found.device.name, found.utilization.value, found.note) == ("NVIDIA H100", 0.0, SUSPENDED)
    assert binding.calls == 0
    tree.file(f"{folder}/power/runtime_status", "active")
    assert tree.one([Nvidia(binding)]).utilization.value == 50.0


def test_a_jetson_is_not_counted_twice(tree: Tree) -> None:
    """Its driver has an NVML too."""
    tree.file("proc/device-tree/compatible", "nvidia,tegra234\0")
    assert tree.readings([Nvidia(FakeNvml(card()))]) == []
