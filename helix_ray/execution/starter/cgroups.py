"""A control group for a cell, where this process may create one: version 2, or the memory and cpu
hierarchies of version 1.

Memory is a limit: beyond it the kernel kills. CPUs are a share: under contention a cell gets what its task
asked for, and no more.

In version 2 a group that has processes cannot have controllers in groups below it, unless it is the root. So
cells get their groups below that of this process only in the root group, and otherwise beside it, where the
group above was delegated to us: a systemd unit with `Delegate=yes` and `DelegateSubgroup=`. Nobody but
systemd may create groups elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from helix_ray.execution.starter.levels import CellSpec

BYTES_PER_MB = 1024 * 1024
SHARES_PER_CPU, SHARES_MIN = 1024, 2  # version 1: cpu.shares
WEIGHT_PER_CPU, WEIGHT_MIN, WEIGHT_MAX = 100, 1, 10_000  # version 2: cpu.weight
PREFIX = "helix-"
REMOVE_S_MAX = 1.0
CONTROLLERS = ("memory", "cpu")
OWN_GROUPS, MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mounts")
# systemd marks what it has delegated with one of these.
DELEGATED = ("trusted.delegate", "user.delegate")


class _Parent(NamedTuple):
    """Where groups with a controller may be created, and in which version."""

    folder: Path
    version: int


class Cgroup:
    """The groups of one cell: one a hierarchy. `limits_memory` says whether the kernel holds the memory
    limit."""

    def __init__(self, folders: dict[str, Path], limits_memory: bool) -> None:
        self._folders = folders
        self.limits_memory = limits_memory

    def add(self, pid: int) -> None:
        """Put a process in it, with all that it will start; raises OSError."""
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """Return how often the kernel has killed for want of memory in it."""
        folder = self._folders["memory"]
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                words = dict(line.split() for line in (folder / name).read_text().splitlines())
                return int(words.get("oom_kill", 0))
        return 0

    def remove(self) -> None:
        """Remove it once nothing is in it; the kernel may take a moment to see that."""
        give_up_at = time.monotonic() + REMOVE_S_MAX
        for folder in set(self._folders.values()):
            while folder.exists() and time.monotonic() < give_up_at:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.002)


def make(number: int, spec: CellSpec) -> Cgroup | None:
    """Return a group with a cell's limits, or None where none can be created or none is needed."""
    if spec.memory_mb is None and spec.cpus is None:
        return None
    made: dict[str, Path] = {}
    limits_memory = False
    for controller, parent in _parents().items():
        folder = parent.folder / f"{PREFIX}{os.getpid()}-{number}"
        try:
            folder.mkdir(exist_ok=True)
            held = _limit(controller, folder, spec, parent.version)
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        made[controller] = folder
        limits_memory = limits_memory or (controller == "memory" and held)
    return Cgroup(made, limits_memory) if made else None


def sweep() -> None:
    """Remove the groups of starters that were killed."""
    for parent in set(_parents().values()):
        for folder in parent.folder.glob(f"{PREFIX}*"):
            if not os.path.exists(f"/proc/{folder.name.removeprefix(PREFIX).partition('-')[0]}"):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _parents() -> dict[str, _Parent]:
    """Return where groups may be created, by controller."""
    parents: dict[str, _Parent] = {}
    mounts = _mounts()
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, names, path = line.split(":", 2)
            for controller in CONTROLLERS:
                parent = _of_second(controller, path, mounts) if not names else None
                if controller in names.split(",") and controller in mounts:
                    parent = _Parent(_existing(mounts[controller], path), 1)
                if parent is not None:
                    parents.setdefault(controller, parent)
    return parents


def _of_second(controller: str, path: str, mounts: dict[str, Path]) -> _Parent | None:
    """Return where groups with a controller may be created in version 2, if anywhere."""
    if "" not in mounts:
        return None
    own = _existing(mounts[""], path)
    for folder in (own, own.parent):
        if (folder == own or _is_delegated(folder)) and _enabled(controller, folder):
            return _Parent(folder, 2)
    return None


def _is_delegated(folder: Path) -> bool:
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _enabled(controller: str, folder: Path) -> bool:
    """Say whether groups below this one have the controller; enable it if that is possible."""
    enabled = folder / "cgroup.subtree_control"
    if controller not in _words(enabled) and controller in _words(folder / "cgroup.controllers"):
        with contextlib.suppress(OSError):
            enabled.write_text(f"+{controller}")
    return controller in _words(enabled)


def _existing(mount: Path, path: str) -> Path:
    """Return the group's folder; in a container its path may be that of the host, and the mount is the
    group."""
    folder = mount / path.lstrip("/")
    return folder if folder.is_dir() else mount


def _mounts() -> dict[str, Path]:
    """Return where the hierarchies are mounted: by controller for version 1, at "" for version 2."""
    mounts: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            if kind == "cgroup2" and "memory" in _words(Path(place, "cgroup.controllers")):
                mounts[""] = Path(place)
            elif kind == "cgroup":
                mounts |= {option: Path(place) for option in options.split(",") if option in CONTROLLERS}
    return mounts


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _limit(controller: str, folder: Path, spec: CellSpec, version: int) -> bool:
    """Write the limit; False where there is none to write. Raises OSError where the controller is not
    enabled here."""
    second = version == 2
    if controller == "memory" and spec.memory_mb is not None:
        size = str(int(spec.memory_mb * BYTES_PER_MB))
        (folder / ("memory.max" if second else "memory.limit_in_bytes")).write_text(size)
        swap = folder / ("memory.swap.max" if second else "memory.memsw.limit_in_bytes")
        with contextlib.suppress(OSError):
            swap.write_text("0" if second else size)
        return True
    if controller == "cpu" and spec.cpus is not None:
        weight = min(max(round(WEIGHT_PER_CPU * spec.cpus), WEIGHT_MIN), WEIGHT_MAX)
        shares = max(round(SHARES_PER_CPU * spec.cpus), SHARES_MIN)
        name, value = ("cpu.weight", weight) if second else ("cpu.shares", shares)
        (folder / name).write_text(str(value))
        return True
    return False
