"""What a command may use of memory and CPUs: what its task asked for, held by the kernel or watched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray.execution.starter import cgroups
from helix_ray.execution.starter.levels import CellSpec, Wanted
from helix_ray.execution.starter.memory import MemoryLimit
from tests.unit.execution.starter_end import StarterEnd

ASKED = CellSpec(memory_mb=100.0, cpus=0.5)
TAKE = "\\$x = 'x' x (300 << 20); sleep 30;"


def needs_groups() -> None:
    made = cgroups.make(999_999, ASKED)
    if made is not None:
        made.remove()
    if made is None or not made.limits_memory:
        pytest.skip("needs control groups that this process may make")


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


def test_a_group_goes_with_its_cell(starter: StarterEnd) -> None:
    """It holds the cell's commands while it lives, with their share of CPUs, and is not there afterwards."""
    needs_groups()
    groups = starter.output("cat /proc/self/cgroup", spec=ASKED)
    name = f"{cgroups.PREFIX}{starter.process.pid}-1"
    assert name in groups
    starter.close()
    assert not list(Path("/sys/fs/cgroup").rglob(name))


def test_a_tree_that_takes_more_memory_is_seen() -> None:
    """Without a group the processes below the cell are counted; what two of them share counts once."""
    limit = MemoryLimit(0.01, os.getpid(), None)
    assert limit.exceeded() is None, "nothing is below this process"
    child = os.fork()
    if not child:
        os.execvp("sleep", ["sleep", "1000"])
    try:
        while "sleep" not in Path("/proc", str(child), "comm").read_text():
            pass
        said = limit.exceeded()
        assert said is not None
        assert said.startswith("used ")
        assert said.endswith("MB, asked for 0.01")
        assert MemoryLimit(64.0, os.getpid(), None).exceeded() is None
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
