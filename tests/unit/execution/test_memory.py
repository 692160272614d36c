"""What a command may use of memory and CPUs: what its task asked for, enforced by the kernel or measured.

Control groups of version 2 are tested on a folder that looks like them, since their controllers are not
available everywhere: there the kernel does not enforce anything. What is tested is which files are written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray.execution.starter import cgroups
from helix_ray.execution.starter.levels import CellSpec, Wanted
from helix_ray.execution.starter.memory import MemoryLimit
from tests.ray.signals import until
from tests.unit.execution.starter_end import StarterEnd

ASKED = CellSpec(memory_mb=100.0, cpus=0.5)
TAKE = "\\$x = 'x' x (300 << 20); sleep 30;"


NO_GROUPS = "needs control groups that this process may make"


def group_of(number: int, asked: CellSpec) -> cgroups.Cgroup:
    """Make a control group; skip where this process may not."""
    made = cgroups.make(number, asked)
    if made is None:
        pytest.skip(NO_GROUPS)
    return made


def needs_groups() -> None:
    made = group_of(999_999, ASKED)
    made.remove()
    if not made.limits_memory:
        pytest.skip(NO_GROUPS)


@pytest.fixture
def starter() -> Iterator[StarterEnd]:
    folder = Path(tempfile.mkdtemp(prefix="hx-", dir="/var/tmp"))
    end = StarterEnd(folder, Wanted("none"))
    yield end
    end.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("shell", [f'exec perl -e "{TAKE}"', f'perl -e "{TAKE}"; sleep 30; echo after'])
def test_a_group_ends_what_takes_more_memory(starter: StarterEnd, shell: str) -> None:
    """The whole attempt ends, whichever of its processes took it, with a reason of its own; the next is
    fine."""
    needs_groups()
    outcome = starter.run({"shell": shell}, spec=ASKED)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.type) == ("memory", "OutOfMemory")
    assert outcome.error.message == "needed more memory than the 100 MB that it asked for"
    assert starter.output("echo fine", spec=ASKED) == "fine\n"


def test_files_in_memory_count(starter: StarterEnd) -> None:
    """They outlive the process that wrote them, so the kernel may end the cell: the reason is the same."""
    needs_groups()
    left = Path(f"/dev/shm/hx-left-{os.getpid()}")
    try:
        outcome = starter.run({"shell": f"head -c 300M /dev/zero > {left}"}, spec=ASKED)
    finally:
        left.unlink(missing_ok=True)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.type) == ("memory", "OutOfMemory")


def test_a_group_goes_with_its_cell(starter: StarterEnd) -> None:
    """The cell's commands are in it while the cell lives, with their share of CPUs; then it is removed."""
    needs_groups()
    groups = starter.output("cat /proc/self/cgroup", spec=ASKED)
    name = f"{cgroups.PREFIX}{starter.process.pid}-1"
    assert name in groups
    starter.close()
    assert not list(Path("/sys/fs/cgroup").rglob(name))


# What it has used is looked at by itself: whoever waits for it, and tells it to begin, may be late.
BURN = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = int(sys.argv[1]) if len(sys.argv) > 1 else None
sys.stdin.readline()
# The processor time of another process: its clock has this number (clock_getcpuclockid).
used = lambda pid: time.clock_gettime(~pid << 3 | 2)
if other is not None:
    # Both are busy from now on.
    at_first = used(other)
    while used(other) < at_first + 0.01:
        pass
    mine, theirs = time.process_time(), used(other)
while other is None or time.process_time() < mine + 0.4:
    pass
print((used(other) - theirs) / (time.process_time() - mine), flush=True)
"""


def burning(group: cgroups.Cgroup, *beside: int) -> subprocess.Popen[str]:
    """Start a process in a group; when a line comes in, it keeps one processor as busy as it can. With the
    id of another such process it ends by itself, and prints that one's processor time divided by its own."""
    command = [sys.executable, "-S", "-c", BURN, *map(str, beside)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    group.add(process.pid)
    return process


def test_under_contention_a_group_gets_the_cpus_that_its_task_asked_for() -> None:
    """Of one processor that two busy tasks want, one that asked for 1.5 CPUs gets three times as much as one
    that asked for 0.5. Neither is held back where a processor is free: it is a share, not a limit."""
    small, large = (group_of(999_990 + number, CellSpec(cpus=cpus)) for number, cpus in enumerate((0.5, 1.5)))
    children = [burning(small)]
    try:
        children.append(burning(large, children[0].pid))
        for child in children:
            assert child.stdin is not None
            print(file=child.stdin, flush=True)
        assert children[1].stdout is not None
        share = float(children[1].stdout.readline())
    finally:
        for child in children:
            child.kill()
            child.communicate()
        small.remove()
        large.remove()
    assert 1 / 4.5 < share < 1 / 2


def test_a_tree_that_takes_more_memory_is_seen() -> None:
    """Without a group the processes below the cell are counted; what two of them share counts once."""
    # A process of its own is the cell: that of the tests may have other children.
    shell = "read line; sleep 1000 & echo $!; read line; kill -9 $!; wait"
    with subprocess.Popen(
        ["sh", "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as cell:
        assert cell.stdin is not None
        assert cell.stdout is not None
        limit = MemoryLimit(0.01, cell.pid, None)
        assert limit.exceeded() is None, "nothing is below this process"
        cell.stdin.write("begin\n")
        child = int(cell.stdout.readline())
        until(lambda: "sleep" in Path("/proc", str(child), "comm").read_text())
        said = limit.exceeded()
        assert said is not None
        assert said.startswith("used ")
        assert said.endswith("MB, asked for 0.01")
        assert MemoryLimit(64.0, cell.pid, None).exceeded() is None
        cell.stdin.write("end\n")


class SecondVersion:
    """A folder with the files of a version 2 hierarchy: what is written can be read back, and the test plays
    the kernel.

    The group of this process is `above/own`; controllers cannot be enabled below a group with processes.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.above, self.own = folder / "above", folder / "above" / "own"
        self.own.mkdir(parents=True)
        for group in (folder, self.above, self.own):
            (group / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("cpu memory\n")
        (folder / "mounts").write_text(f"cgroup2 {folder} cgroup2 rw,nosuid 0 0\n")
        (folder / "cgroup").write_text("0::/above/own\n")
        monkeypatch.setattr(cgroups, "MOUNTS", folder / "mounts")
        monkeypatch.setattr(cgroups, "OWN_GROUPS", folder / "cgroup")
        monkeypatch.setattr(cgroups, "REMOVE_S_MAX", 0.0)
        self._monkeypatch = monkeypatch

    def enable(self, group: Path) -> None:
        (group / "cgroup.subtree_control").write_text("cpu memory\n")

    def refuse(self, group: Path) -> None:
        """Have the kernel refuse to enable controllers below a group, as for one that has processes."""
        (group / "cgroup.subtree_control").mkdir()

    def delegate(self, group: Path) -> None:
        """Mark a group as systemd marks what it has delegated."""
        self._monkeypatch.setattr(
            os, "getxattr", lambda folder, name: b"1" if (folder, name) == (group, "user.delegate") else b""
        )


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecondVersion:
    return SecondVersion(tmp_path, monkeypatch)


def test_a_group_of_version_2_gets_its_limits(second: SecondVersion) -> None:
    """Below the group of this process where that is possible: memory without swap, a weight for the CPUs, and
    the kernel's count of kills."""
    second.enable(second.own)
    group = cgroups.make(1, ASKED)
    assert group is not None
    assert group.limits_memory
    folder = second.own / f"{cgroups.PREFIX}{os.getpid()}-1"
    names = ("memory.max", "memory.swap.max", "cpu.weight")
    assert [(folder / name).read_text() for name in names] == [str(100 << 20), "0", "50"]
    group.add(4711)
    assert (folder / "cgroup.procs").read_text() == "4711"
    limit = MemoryLimit(100.0, os.getpid(), group)
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n")
    limit.begin()
    assert limit.exceeded() is None
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 40\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert limit.exceeded() == "needed more memory than the 100 MB that it asked for"


def test_groups_of_version_2_are_beside_ours_where_that_was_delegated(second: SecondVersion) -> None:
    """A group with processes, as ours, can have no controllers below it; nobody's groups are touched
    without delegation."""
    second.refuse(second.own)
    second.enable(second.above)
    assert cgroups.make(1, ASKED) is None
    second.delegate(second.above)
    group = cgroups.make(2, ASKED)
    assert group is not None
    assert group.limits_memory
    assert (second.above / f"{cgroups.PREFIX}{os.getpid()}-2" / "memory.max").exists()
    assert not list(second.own.glob(f"{cgroups.PREFIX}*"))
