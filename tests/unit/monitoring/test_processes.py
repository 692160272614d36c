"""Our processes by role, read on a made /proc: what is below them counts, others' workers do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helix_ray.core.host_sample import ProcessSample
from helix_ray.monitoring.processes import EVERY_S, ProcessSampler
from tests.unit.accelerators.tree import Tree

RAYLET, TICKS, PAGE = 10, os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Processes(Tree):
    """A made /proc with a raylet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sampler = ProcessSampler(RAYLET, root, lambda: self.now)
        self.run(1, 0, "init", 1000)
        self.run(RAYLET, 1, "raylet")

    def run(
        self, pid: int, parent: int, name: str, cpu_s: float = 0.0, own_mb: int = 1, start: int = 7
    ) -> None:
        """Set a process; half of its time is the system's, and it shares as much memory as it has."""
        half = int(cpu_s * TICKS / 2)
        rest = f"S {parent} 0 0 0 0 0 0 0 0 0 {half} {half} 0 0 20 0 1 0 {start} 0 0"
        self.file(f"proc/{pid}/stat", f"{pid} ({name}) {rest}")
        pages = own_mb * (1 << 20) // PAGE
        self.file(f"proc/{pid}/statm", f"{9 * pages} {2 * pages} {pages} 0 0 0 0")

    def told(self) -> dict[str, ProcessSample]:
        """Return the next sample by role."""
        self.now += EVERY_S
        return {sample["role"]: sample for sample in self.sampler.read()}


def test_roles_are_told_by_name_and_what_is_below_counts(tmp_path: Path) -> None:
    """Below a node worker are commands; other programs' workers, and what they start, are not ours."""
    tree = Processes(tmp_path)
    for pid, (parent, name) in enumerate(
        [(RAYLET, "ray::Master"), (RAYLET, "ray::ServeRepli"), (RAYLET, "ray::ServeRepli"),
         (RAYLET, "ray::NodeWorker"), (23, "python"), (24, "a (b) c"), (RAYLET, "hx-68e923974e3"), (26, "sh"),
         (RAYLET, "ray::Trainer"), (28, "sh"), (RAYLET, "ray::SyncDevice"), (1, "ray::Master")], 20
    ):  # fmt: skip
        tree.run(pid, parent, name)
    counts = {role: (sample["count"], sample["memory_mb"]) for role, sample in tree.told().items()}
    assert counts == {
        "master": (1, 1.0), "api": (2, 2.0), "node_worker": (1, 1.0), "command": (2, 2.0),
        "executor": (2, 2.0), "sync": (1, 1.0), "ray": (1, 1.0),
    }  # fmt: skip


def test_workers_below_the_template_are_those_of_the_raylet(tmp_path: Path) -> None:
    """Each has its own role, and the template counts for Ray."""
    tree = Processes(tmp_path)
    for pid, (parent, name) in enumerate(
        [(RAYLET, "ray::Template"), (20, "ray::Master"), (20, "ray::NodeWorker"), (22, "sh"), (20, "hx-1")],
        20,
    ):
        tree.run(pid, parent, name)
    counts = {role: sample["count"] for role, sample in tree.told().items()}
    assert counts == {"master": 1, "node_worker": 1, "command": 1, "executor": 1, "ray": 2}


def test_workers_of_a_killed_template_still_count(tmp_path: Path) -> None:
    """Whoever adopted them: their environment says for which raylet they were started."""
    tree = Processes(tmp_path)
    for pid, name, raylet in ((20, "ray::Master", RAYLET), (21, "hx-1", RAYLET), (22, "ray::Historian", 11)):
        tree.run(pid, 1, name)
        tree.file(f"proc/{pid}/environ", f"A=b\0RAY_RAYLET_PID={raylet}\0")
    tree.run(23, 1, "ray::Supervisor")
    tree.run(24, 21, "sh")
    counts = {role: sample["count"] for role, sample in tree.told().items()}
    assert counts == {"master": 1, "executor": 2, "ray": 1}


def test_cpu_is_what_was_used_since_the_last_sample(tmp_path: Path) -> None:
    """Not known at first; a process id that is used again does not count backwards."""
    tree = Processes(tmp_path)
    tree.run(20, RAYLET, "ray::Master", 100.0)
    assert "cpu_percent" not in tree.told()["master"]
    tree.run(20, RAYLET, "ray::Master", 102.0)
    tree.run(21, RAYLET, "hx-1", 5.0)
    told = tree.told()
    assert told["master"].get("cpu_percent") == 40.0
    assert told["executor"].get("cpu_percent") == 100.0
    tree.run(20, RAYLET, "ray::Master", 1.0, start=8)
    assert tree.told()["master"].get("cpu_percent") == 20.0
    tree.now += EVERY_S / 2
    assert tree.sampler.read() is tree.sampler.read()


def test_this_machine_can_be_read() -> None:
    """A process of its own: below that of the tests may be executors of other tests."""
    command = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [own] = ProcessSampler(process.pid).read()
        process.kill()
    assert (own["role"], own["count"]) == ("ray", 1)
    assert own["memory_mb"] > 1
