"""Samples in a thread of their own: hanging drivers are left behind, and the log has a line a change."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from helix_ray.accelerators.device import Device, Reading, percent
from helix_ray.accelerators.families import read_once
from helix_ray.accelerators.host import Host
from helix_ray.accelerators.nvidia import Nvidia
from helix_ray.accelerators.sampler import HANGS, Sampler
from helix_ray.accelerators.watched import DriverHangs, Watched
from tests.unit.accelerators.nvml import FakeNvml, card
from tests.unit.accelerators.tree import FAMILIES, Tree

SLOT = "0000:00:0b.0"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_a_call_that_hangs_is_left_behind() -> None:
    """Whoever waits goes on; no second call is made while the first is stuck, and then it works again."""
    watched, free = Watched("x", call_s_max=0.01), threading.Event()
    with pytest.raises(DriverHangs):
        watched.call(lambda: free.wait(60))
    with pytest.raises(DriverHangs):
        watched.call(lambda: pytest.fail("called while stuck"))
    free.set()
    for thread in threading.enumerate():
        if thread.name == "reads x":
            thread.join(60)
    assert watched.call(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        watched.call(lambda: 1 / 0)


def test_a_driver_that_hangs_does_not_stop_the_others(
    tree: Tree, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its device is unknown meanwhile, an NPU beside it is still read, and it comes back."""
    caplog.set_level(logging.INFO)
    binding = FakeNvml(card())
    folder = tree.device("sys/class/accel/accel0", "intel_vpu", SLOT, vendor="0x8086", npu_busy_time_us=0)
    sampler = Sampler(tree.host, [Nvidia(binding), *FAMILIES])
    for followed in sampler._followed:
        followed._watched._call_s_max = 1.0
    sampler.sample()
    gpu, npu = sampler.latest()
    assert (gpu["utilization"], "utilization" in npu) == (50.0, False)
    assert lines(caplog) == ["gpu NVIDIA H100 (nvidia): read by nvmlDeviceGetUtilizationRates"]
    binding.hangs.clear()
    for seconds in (2, 2):
        tree.now += seconds
        tree.file(f"{folder}/npu_busy_time_us", int(tree.now * 500_000))
        sampler.sample()
    gpu, npu = sampler.latest()
    assert (gpu["name"], "utilization" in gpu, gpu["reason"]) == ("NVIDIA H100", False, HANGS)
    assert npu["utilization"] == 50.0
    assert lines(caplog)[0] == f"gpu NVIDIA H100 (nvidia): its utilization is unknown: {HANGS}"
    binding.hangs.set()
    for thread in threading.enumerate():
        if thread.name == "reads NVIDIA GPU":
            thread.join(60)
    tree.now += 2
    sampler.sample()
    assert sampler.latest()[0]["utilization"] == 50.0


def test_the_log_has_one_line_a_change(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    """Not one a sample: a detector that repeats itself floods the log."""
    caplog.set_level(logging.INFO)
    binding = FakeNvml(card())
    sampler = Sampler(tree.host, [Nvidia(binding)])
    for _ in range(5):
        sampler.sample()
    assert len(lines(caplog)) == 1
    binding.dead = "Driver Not Loaded"
    for _ in range(5):
        tree.now += 100
        sampler.sample()
    assert lines(caplog) == ["gpu NVIDIA H100 (nvidia): its utilization is unknown: NVML: Driver Not Loaded"]


def test_devices_that_go_are_said_and_forgotten(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    """A card that is pulled out; a family without devices is looked for again, but not every time."""
    caplog.set_level(logging.INFO)
    sampler = Sampler(tree.host, FAMILIES)
    sampler.sample()
    assert sampler.latest() == []
    tree.device("sys/class/drm/card0", "amdgpu", SLOT, vendor="0x1002", gpu_busy_percent=1)
    sampler.sample()
    assert sampler.latest() == []
    tree.now += 31
    sampler.sample()
    assert [device["vendor"] for device in sampler.latest()] == ["AMD"]
    (tree.root / "sys/class/drm/card0/device").unlink()
    tree.now += 2
    sampler.sample()
    assert sampler.latest() == []
    assert lines(caplog)[-1] == f"{SLOT} is gone"


def test_what_takes_long_is_done_less_often(tree: Tree) -> None:
    """A reading that takes 50 ms of CPU time is made every 5 s: 1 % of a core, and no more."""
    taken: list[float] = []

    class Slow:
        name = "slow"

        def find(self, host: Host) -> list[Device]:
            return []

        def readings(self, host: Host) -> list[Reading]:
            taken.append(tree.now)
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                pass
            return [Reading(Device("d", "gpu", "v", "c", "/d"), percent(1.0, "s", None))]

    sampler = Sampler(tree.host, [Slow()])
    for _ in range(7):
        sampler.sample()
        tree.now += 2
    assert taken[0] == 100.0
    assert 106.0 <= taken[1] <= 112.0


def test_kinds_that_are_not_the_nodes_own_are_left_out(tree: Tree) -> None:
    """A node whose GPUs are logical reports the NPU only; each kind is counted from 0."""
    tree.device("sys/class/drm/card0", "amdgpu", "0000:01:00.0", vendor="0x1002")
    tree.file("dev/hailo0", "")
    tree.file("dev/hailo1", "")
    sampler = Sampler(tree.host, FAMILIES, kinds=frozenset({"npu"}))
    sampler.sample()
    assert [(device["kind"], device["index"]) for device in sampler.latest()] == [("npu", 0), ("npu", 1)]


def test_a_node_starts_beside_a_driver_that_hangs(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    """It offers what the others report, and says what it goes on without."""
    binding = FakeNvml(card())
    binding.hangs.clear()
    tree.file("dev/hailo0", "")
    found = read_once(tree.host, [Nvidia(binding), *FAMILIES], call_s_max=1.0)
    binding.hangs.set()
    assert [reading.device.capability for reading in found] == ["hailo-npu"]
    assert lines(caplog) == ["NVIDIA GPU: the driver does not answer; going on without its devices"]


def test_a_reader_that_fails_leaves_the_thread_alive(tree: Tree) -> None:
    """Whatever a driver answers: the next sample is taken, in a thread that ends when it is told."""
    taken, failed = threading.Semaphore(0), threading.Event()

    class Odd:
        name = "odd"

        def find(self, host: Host) -> list[object]:
            return []

        def readings(self, host: Host) -> list[object]:
            taken.release()
            failed.set()
            raise RuntimeError("odd")

    tree.host.clock = iter(range(0, 10**9, 60)).__next__
    sampler = Sampler(tree.host, [Odd()], period_s=0.001)  # type: ignore[list-item]
    sampler.start()
    for _ in range(3):
        assert taken.acquire(timeout=60)
    sampler.stop()
    assert sampler.latest() == []


def test_this_hosts_figures_are_the_kernels() -> None:
    """On whatever host this runs: what is reported is what its files say, and nothing is invented."""
    host = Host()
    sampler = Sampler(host, FAMILIES)
    sampler.sample()
    classes = [*host.root.glob("sys/class/drm/*"), *host.root.glob("sys/class/accel/*")]
    classes += [*host.root.glob("sys/class/kgsl/*"), *host.root.glob("sys/class/devfreq/*")]
    if not classes and not (host.root / "proc/device-tree/compatible").exists():
        files = ("davinci[0-9]*", "hailo[0-9]*", "apex_*", "rknpu", "fastrpc-cdsp*")
        count = sum(bool([*host.root.glob(f"dev/{name}")]) for name in files)
        assert len({device["vendor"] + device["kind"] for device in sampler.latest()}) == count
    memory = (host.root / "proc/meminfo").read_text().split()
    for device in sampler.latest():
        assert "utilization" in device or device["reason"]
        assert 0 <= device.get("utilization", 0) <= 100
        if device["unified"]:
            assert device["memory_total_mb"] == int(memory[memory.index("MemTotal:") + 1]) // 1024
