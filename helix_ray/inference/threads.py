"""How many threads a model may use: by the limits of this process, not by the host's cores.

ONNX Runtime sizes its pool by the host's cores and ignores affinity
and cgroups (microsoft/onnxruntime#29510, #8313).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_threads(cpus_given: float | None = None, cgroup_root: Path = CGROUP_ROOT) -> int:
    """Return the thread count: the minimum of affinity, cgroup quota and the CPUs assigned
    to the task, at least 1."""
    limits: list[float] = [len(os.sched_getaffinity(0))]
    quota = cgroup_cpus(Path("/proc/self/cgroup").read_text(), cgroup_root)
    limits += [limit for limit in (quota, cpus_given) if limit is not None]
    return max(1, math.floor(min(limits)))


def cgroup_cpus(membership: str, root: Path) -> float | None:
    """Return the CPUs that the cgroup and its parents allow, None for no limit.

    `membership` is the text of /proc/self/cgroup. cpu.max contains "quota period" in microseconds, or "max
    period" (kernel documentation, cgroup v2, CPU interface files).
    """
    path = next((line[3:] for line in membership.splitlines() if line.startswith("0::")), "/")
    folder = root / path.strip("/")
    quotas = [
        quota for place in (folder, *folder.parents) if (quota := _quota(place / "cpu.max")) is not None
    ]
    return min(quotas, default=None)


def _quota(file: Path) -> float | None:
    try:
        quota, period = file.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)
