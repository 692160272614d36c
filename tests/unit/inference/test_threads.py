"""How many threads a model gets."""

from __future__ import annotations

import os
from pathlib import Path

from helix_ray.inference.threads import cgroup_cpus, usable_threads


def test_the_tightest_quota_of_the_cgroups_counts(tmp_path: Path) -> None:
    """A parent's quota binds its children; `max` is no limit."""
    child = tmp_path / "slice" / "job"
    child.mkdir(parents=True)
    (child / "cpu.max").write_text("max 100000\n")
    assert cgroup_cpus("0::/slice/job\n", tmp_path) is None
    (tmp_path / "slice" / "cpu.max").write_text("150000 100000\n")
    (child / "cpu.max").write_text("400000 100000\n")
    assert cgroup_cpus("1:cpu:/\n0::/slice/job\n", tmp_path) == 1.5
    assert cgroup_cpus("1:cpu:/\n", tmp_path) is None


def test_threads_are_capped_by_what_is_given(tmp_path: Path) -> None:
    """Never more than the affinity or the CPUs given, never less than one."""
    assert usable_threads(0.5, tmp_path) == 1
    assert usable_threads(1.0, tmp_path) == 1
    assert usable_threads(None, tmp_path) == len(os.sched_getaffinity(0))
