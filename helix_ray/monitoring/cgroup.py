"""The limits of the control group in which this process runs, and what the group uses: version 2, or 1.

Inside a container, /proc has the machine's figures. A limit of the group is what its programs really have,
and the smallest limit of the group and its ancestors counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helix_ray.accelerators.files import number, text

MOUNT = "sys/fs/cgroup"
# A limit of version 1 that is not set is a number near 2^63.
UNLIMITED_BYTES = 1 << 60
MICROS = 1e6
NANOS = 1e9


@dataclass(frozen=True, slots=True)
class Group:
    """A control group's limits and use; None: no limit, or not known. Bytes, cores, seconds of CPU."""

    memory_max: float | None = None
    memory_used: float | None = None
    cores_max: float | None = None
    cpu_s: float | None = None
    memory_source: str = ""
    cpu_source: str = ""


def group_of(root: Path) -> Group:
    """Return the group of this process on the host below `root`."""
    mount = root / MOUNT
    if (mount / "cgroup.controllers").exists():
        return _version_2(mount, _own_path(root, ""))
    return _version_1(root, mount)


def _own_path(root: Path, controller: str) -> str:
    """Return this process's group of a hierarchy: `0::/a` of version 2, `7:memory:/a` of version 1."""
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path.strip("/")
    return ""


def _upwards(base: Path, path: str) -> Iterator[Path]:
    """Give a group's folder and those of its ancestors; inside a container only the mount may be there."""
    here = base / path
    while here != base:
        if here.is_dir():
            yield here
        here = here.parent
    yield base


def _version_2(mount: Path, path: str) -> Group:
    folders = list(_upwards(mount, path))
    own = folders[0]
    quotas = [quota for folder in folders if (quota := _cores(text(folder / "cpu.max"))) is not None]
    used, cache = number(own / "memory.current"), _field(own / "memory.stat", "inactive_file")
    micros = _field(own / "cpu.stat", "usage_usec")
    return Group(
        memory_max=_least(number(folder / "memory.max") for folder in folders),
        memory_used=None if used is None else max(0.0, used - (cache or 0.0)),
        cores_max=min(quotas, default=None),
        cpu_s=None if micros is None else micros / MICROS,
        memory_source="memory.current of the control group, without inactive file pages",
        cpu_source="cpu.stat of the control group",
    )


def _version_1(root: Path, mount: Path) -> Group:
    memory = list(_upwards(mount / "memory", _own_path(root, "memory")))
    cpu = list(_upwards(mount / "cpu", _own_path(root, "cpu")))
    accounts = list(_upwards(mount / "cpuacct", _own_path(root, "cpuacct")))
    used = number(memory[0] / "memory.usage_in_bytes")
    cache = _field(memory[0] / "memory.stat", "total_inactive_file")
    nanos = number(accounts[0] / "cpuacct.usage")
    quotas = [
        quota / period
        for folder in cpu
        if (quota := number(folder / "cpu.cfs_quota_us")) is not None
        and quota > 0
        and (period := number(folder / "cpu.cfs_period_us"))
    ]
    return Group(
        memory_max=_least(number(folder / "memory.limit_in_bytes") for folder in memory),
        memory_used=None if used is None else max(0.0, used - (cache or 0.0)),
        cores_max=min(quotas, default=None),
        cpu_s=None if nanos is None else nanos / NANOS,
        memory_source="memory.usage_in_bytes of the control group, without inactive file pages",
        cpu_source="cpuacct.usage of the control group",
    )


def _least(limits: Iterator[float | None]) -> float | None:
    return min((limit for limit in limits if limit is not None and 0 < limit < UNLIMITED_BYTES), default=None)


def _cores(said: str | None) -> float | None:
    """Return the cores that `QUOTA PERIOD` allows; None for `max`."""
    quota, _, period = (said or "").partition(" ")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _field(path: Path, name: str) -> float | None:
    for line in (text(path) or "").splitlines():
        found, _, value = line.partition(" ")
        if found == name and value.isdigit():
            return float(value)
    return None
