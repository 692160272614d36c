"""How a host is, read on made trees of the kernel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from helix_ray.core.host_sample import HostSample
from helix_ray.monitoring.cgroup import group_of
from helix_ray.monitoring.host import HostSampler, disks
from tests.unit.accelerators.tree import Tree

DEV = """Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame |bytes    packets errs drop
{rows}"""
MEMINFO = """MemTotal:       16777216 kB
MemFree:         1048576 kB
MemAvailable:    8388608 kB
SwapTotal:       2097152 kB
SwapFree:        1572864 kB
"""


class Machine(Tree):
    """A made machine with two processors, 16 GiB and one network card."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sampler = HostSampler((root,), root, lambda: self.now)
        self.stat((0, 0), (0, 0))
        self.file("proc/meminfo", MEMINFO)
        self.file("proc/loadavg", "0.50 1.25 2.00 1/200 4711")
        self.card("eth0")
        self.net(lo=(9, 9), eth0=(1000, 500))

    def stat(self, *cores: tuple[int, int]) -> None:
        """Set the busy and idle ticks of each core; a third of the busy ones is stolen."""
        rows = [
            f"cpu{n} {busy - busy // 3} 0 0 {idle} 0 0 0 {busy // 3} 7 7"
            for n, (busy, idle) in enumerate(cores)
        ]
        busy, idle = (sum(core[at] for core in cores) for at in (0, 1))
        self.file("proc/stat", "\n".join([f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0", *rows, "intr 1 2 3"]))

    def net(self, **interfaces: tuple[int, int]) -> None:
        """Set the received and sent bytes of interfaces."""
        rows = [f"{name:>6}: {rx} 0 0 0 0 0 0 0 {tx} 0 0 0 0 0 0 0" for name, (rx, tx) in interfaces.items()]
        self.file("proc/net/dev", DEV.format(rows="\n".join(rows)))

    def card(self, name: str) -> None:
        """Make an interface a network card."""
        self.file(f"sys/class/net/{name}/device/vendor", "0x8086")

    def after(self, seconds: float) -> HostSample:
        """Return the next sample, some seconds later."""
        self.now += seconds
        return self.sampler.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_sample_has_no_windows(machine: Machine) -> None:
    """Nothing is said of a window that has not passed: no 0.0 that looks measured."""
    sample = machine.after(0)
    assert not {"cpu_percent", "cpu_per_core", "rx_bytes_per_s", "tx_bytes_per_s"} & sample.keys()
    assert (sample["cores"], sample["cpu_source"]) == (2.0, "/proc/stat")
    assert (sample["memory_total_mb"], sample["memory_used_mb"]) == (16384, 8192)
    assert (sample["swap_total_mb"], sample["swap_used_mb"], sample["load"]) == (2048, 512, [0.5, 1.25, 2.0])
    assert (sample["rx_bytes"], sample["tx_bytes"], sample["interfaces"]) == (1000, 500, ["eth0"])


def test_processors_by_core_and_together(machine: Machine) -> None:
    """Stolen time counts as busy, guests' time only once."""
    machine.after(0)
    machine.stat((150, 50), (0, 200))
    sample = machine.after(2)
    assert (sample["cpu_percent"], sample["cpu_per_core"], sample["cpu_window_s"]) == (37.5, [75.0, 0.0], 2.0)


def test_a_reader_that_asks_too_soon_gets_the_last_window(machine: Machine) -> None:
    machine.after(0)
    machine.stat((100, 100), (100, 100))
    first = machine.after(1)
    machine.stat((900, 100), (900, 100))
    assert machine.after(0.1)["cpu_percent"] == first["cpu_percent"] == 50.0
    assert machine.after(1)["cpu_percent"] == 100.0


def test_a_counter_that_goes_back_is_not_a_spike(machine: Machine) -> None:
    machine.after(0)
    machine.net(eth0=(3000, 1500))
    assert (machine.after(2)["rx_bytes_per_s"], machine.after(0)["tx_bytes_per_s"]) == (1000.0, 500.0)
    machine.net(eth0=(10, 20))
    machine.stat((0, 0), (0, 0))
    sample = machine.after(1)
    assert not {"rx_bytes_per_s", "cpu_percent"} & sample.keys()
    assert sample["rx_bytes"] == 10


def test_every_byte_of_the_network_counts_once(machine: Machine) -> None:
    """Loopback, members of bonds, VLANs, bridges of containers and mirrors are left out."""
    for name in ("eth1", "eth2"):
        machine.card(name)
        machine.file(f"sys/class/net/{name}/master/name", "bond0")
    machine.file("sys/class/net/bond0/bonding/mode", "active-backup 1")
    machine.file("proc/net/vlan/eth0.7", "")
    names = ("lo", "eth0", "eth1", "eth2", "bond0", "eth0.7", "docker0", "veth1", "ifb0")
    machine.net(**dict.fromkeys(names, (100, 10)))
    sample = machine.after(0)
    assert (sorted(sample["interfaces"]), sample["rx_bytes"], sample["tx_bytes"]) == (
        ["bond0", "eth0"],
        200,
        20,
    )


def test_interfaces_of_a_container_are_no_cards(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.net(lo=(5, 5), veth7=(70, 7), ifb0=(70, 7))
    sample = machine.after(0)
    assert (sample["interfaces"], sample["rx_bytes"]) == (["veth7"], 70)


def test_a_container_of_version_2_has_its_own_limits(machine: Machine) -> None:
    """The smallest limit of the group and its ancestors counts; the machine's figures are beside it."""
    machine.file("sys/fs/cgroup/cgroup.controllers", "cpu memory")
    machine.file("proc/self/cgroup", "0::/pod/main")
    machine.file("sys/fs/cgroup/pod/memory.max", 2 << 30)
    machine.file("sys/fs/cgroup/pod/main/memory.max", "max")
    machine.file("sys/fs/cgroup/pod/main/memory.current", 1 << 30)
    machine.file("sys/fs/cgroup/pod/main/memory.stat", f"anon 1\ninactive_file {512 << 20}")
    machine.file("sys/fs/cgroup/pod/main/cpu.max", "50000 100000")
    machine.file("sys/fs/cgroup/pod/main/cpu.stat", "usage_usec 1000000")
    machine.after(0)
    machine.stat((300, 100), (300, 100))
    machine.file("sys/fs/cgroup/pod/main/cpu.stat", "usage_usec 1500000")
    sample = machine.after(2)
    assert (sample["cores"], sample["cpu_percent"], sample["machine_cores"]) == (0.5, 50.0, 2)
    assert sample["machine_cpu_percent"] == 75.0
    assert "control group" in sample["cpu_source"]
    assert "control group" in sample["memory_source"]
    assert (sample["memory_total_mb"], sample["memory_used_mb"], sample["memory_available_mb"]) == (
        2048,
        512,
        1536,
    )
    assert (sample["machine_memory_total_mb"], sample["machine_memory_available_mb"]) == (16384, 8192)


def test_a_container_of_version_1_has_its_own_limits(machine: Machine) -> None:
    machine.file("proc/self/cgroup", "7:memory:/docker/x\n4:cpu,cpuacct:/docker/x")
    machine.file("sys/fs/cgroup/memory/memory.limit_in_bytes", 1 << 30)
    machine.file("sys/fs/cgroup/memory/memory.usage_in_bytes", 600 << 20)
    machine.file("sys/fs/cgroup/memory/memory.stat", f"total_inactive_file {88 << 20}")
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", 100000)
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", 100000)
    machine.file("sys/fs/cgroup/cpuacct/cpuacct.usage", 5_000_000_000)
    machine.after(0)
    machine.file("sys/fs/cgroup/cpuacct/cpuacct.usage", 5_250_000_000)
    sample = machine.after(1)
    assert (sample["cores"], sample["cpu_percent"]) == (1.0, 25.0)
    assert (sample["memory_total_mb"], sample["memory_used_mb"]) == (1024, 512)


@pytest.mark.parametrize("limit", ["max", str(1 << 62), "", "nonsense"])
def test_a_group_without_a_limit_is_the_machine(machine: Machine, limit: str) -> None:
    machine.file("sys/fs/cgroup/cgroup.controllers", "memory")
    machine.file("sys/fs/cgroup/memory.max", limit)
    machine.file("sys/fs/cgroup/memory.current", 1 << 30)
    assert group_of(machine.root).memory_max is None
    sample = machine.after(0)
    assert (sample["memory_source"], "machine_cores" in sample) == ("/proc/meminfo", False)


def test_the_warmest_sensor_of_the_processor_counts(machine: Machine) -> None:
    """Other sensors (a disk's) and impossible values do not."""
    machine.file("sys/class/hwmon/hwmon0/name", "nvme")
    machine.file("sys/class/hwmon/hwmon0/temp1_input", 80_000)
    assert "temperature" not in machine.after(0)
    machine.file("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    machine.file("sys/class/thermal/thermal_zone0/temp", 41_000)
    assert machine.after(0)["temperature"] == 41.0
    machine.file("sys/class/hwmon/hwmon1/name", "coretemp")
    for number, degrees in enumerate((45_200, 44_000, 999_000)):
        machine.file(f"sys/class/hwmon/hwmon1/temp{number}_input", degrees)
    sample = machine.after(0)
    assert (sample["temperature"], sample["temperature_source"]) == (
        45.2,
        "/sys/class/hwmon/hwmon1/temp0_input",
    )


def test_a_tree_without_files_has_no_figures(tmp_path: Path) -> None:
    """What cannot be read is left out, and nothing fails."""
    sampler = HostSampler((tmp_path / "missing",), tmp_path)
    assert sampler.read() == {"disks": []}
    for path in (
        "proc/stat",
        "proc/meminfo",
        "proc/net/dev",
        "proc/loadavg",
        "sys/fs/cgroup/cgroup.controllers",
    ):
        at = tmp_path / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(b"cpu \xff 1 x\nMemTotal: many kB\n eth0: 1 2")
    assert "cores" not in sampler.read()


def test_folders_of_one_file_system_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    [disk] = disks((tmp_path / "a", tmp_path / "b"))
    assert disk["path"] == str(tmp_path / "a")
    assert disk["total_mb"] >= disk["used_mb"] + disk["available_mb"] > 0


def test_this_host_as_the_kernel_says() -> None:
    """On the machine of the test, the figures are the kernel's."""
    sample = HostSampler((Path("/"),)).read()
    assert sample["cores"] > 0
    assert 0 < sample["memory_used_mb"] < sample["memory_total_mb"]
    assert "lo" not in sample["interfaces"]
