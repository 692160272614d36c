"""What the product's own processes on a node use, by role: they are children of the node's raylet, or of the
template of its workers (actors/worker_template.py).

A role is told by the name that the kernel shows. What is below a process counts for its role, and what is
below a node worker are commands. Other programs' workers on the same Ray cluster are not ours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from helix_ray.accelerators.files import BYTES_PER_MB
from helix_ray.core.host_sample import ProcessSample

# Reading every process costs some milliseconds.
EVERY_S = 5.0
NODE_WORKER, COMMAND, EXECUTOR, RAY = "node_worker", "command", "executor", "ray"
# The kernel shows the first 15 characters of a name.
_NAME_CHARS = 15
_ROLES = {
    "ray::Master": "master",
    "ray::ServeReplica": "api",
    "ray::Historian": "historian",
    "ray::Supervisor": "supervisor",
    "ray::Notifier": "notifier",
    "ray::SyncDevices": "sync",
    "ray::NodeWorker": NODE_WORKER,
    "ray::Executor": EXECUTOR,
    "ray::ServeController": RAY,
    "ray::ProxyActor": RAY,
    "ray::DashboardAgent": RAY,
    "ray::RuntimeEnvAgent": RAY,
    "ray::IDLE": RAY,
    "ray::Template": RAY,
}
TEMPLATE = "ray::Template"[:_NAME_CHARS]
ROLES = {name[:_NAME_CHARS]: role for name, role in _ROLES.items()}
# Executors are named by what marks their processes (helix_ray/execution/descendants.py).
_EXECUTOR_PREFIX = "hx-"
_RAYLET = b"RAY_RAYLET_PID="
# Fields of /proc/PID/stat behind the name.
_PARENT, _USER_TICKS, _SYSTEM_TICKS, _STARTED = 1, 11, 12, 19


class LiveProcess(NamedTuple):
    """A process: its parent, its name, seconds of CPU, and when it was started, in ticks since boot."""

    parent: int
    name: str
    cpu_s: float
    started: int


class ProcessSampler:
    """Reads the processes below a raylet; `clock` is monotonic, in seconds."""

    def __init__(
        self, raylet: int, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._raylet = raylet
        self._root = root
        self._clock = clock
        self._at: float | None = None
        self._cpu_s: dict[tuple[int, int], float] = {}
        self._latest: list[ProcessSample] = []

    def read(self) -> list[ProcessSample]:
        """Return the use of each role; read again after EVERY_S."""
        now = self._clock()
        if self._at is None or now - self._at >= EVERY_S:
            self._latest = self._measure(now)
        return self._latest

    def _measure(self, now: float) -> list[ProcessSample]:
        seen = dict(_all(self._root))
        roles = roles_of(self._raylet, seen, lambda pid: _raylet_of(self._root, pid))
        passed_s = None if self._at is None else now - self._at
        cpu_s = {(pid, seen[pid].started): seen[pid].cpu_s for pid in roles}
        found: dict[str, ProcessSample] = {}
        for pid, role in roles.items():
            sample = found.setdefault(role, {"role": role, "count": 0, "memory_mb": 0.0})
            sample["count"] += 1
            sample["memory_mb"] += _memory_mb(self._root, pid)
            if passed_s:
                key = (pid, seen[pid].started)
                # A process that has started meanwhile has used all of its time meanwhile.
                used = max(0.0, cpu_s[key] - self._cpu_s.get(key, 0.0))
                sample["cpu_percent"] = sample.get("cpu_percent", 0.0) + 100.0 * used / passed_s
        self._at, self._cpu_s = now, cpu_s
        for sample in found.values():
            sample["memory_mb"] = round(sample["memory_mb"], 1)
            if "cpu_percent" in sample:
                sample["cpu_percent"] = round(sample["cpu_percent"], 1)
        return sorted(found.values(), key=lambda sample: sample["role"])


def roles_of(
    raylet: int, seen: Mapping[int, LiveProcess], raylet_of: Callable[[int], int | None]
) -> dict[int, str]:
    """Return the role of every process that is ours; `raylet_of` says which raylet one was started for."""
    children: dict[int, list[int]] = {}
    for pid, process in seen.items():
        children.setdefault(process.parent, []).append(pid)
    found = {raylet: RAY} if raylet in seen else {}
    workers = list(children.get(raylet, ()))
    for template in [pid for pid in workers if seen[pid].name == TEMPLATE]:
        found[template] = RAY
        workers.remove(template)
        workers += children.get(template, ())
    workers += [
        pid
        for pid, process in seen.items()
        if process.parent not in found and _is_orphan(process, seen) and raylet_of(pid) == raylet
    ]
    ahead = [(pid, role) for pid in workers if (role := _role(seen[pid].name)) is not None]
    while ahead:
        pid, role = ahead.pop()
        found[pid] = role
        below = COMMAND if role == NODE_WORKER else role
        ahead += [(child, below) for child in children.get(pid, ())]
    return found


def _is_orphan(process: LiveProcess, seen: Mapping[int, LiveProcess]) -> bool:
    """Say whether a process of ours has a parent that is none of ours, as after the template was killed."""
    parent = seen.get(process.parent)
    return _role(process.name) is not None and (parent is None or _role(parent.name) is None)


def _raylet_of(root: Path, pid: int) -> int | None:
    """Return the raylet that a process of Ray was started for, as its environment says."""
    try:
        variables = (root / "proc" / str(pid) / "environ").read_bytes().split(b"\0")
        return next(int(each[len(_RAYLET) :]) for each in variables if each.startswith(_RAYLET))
    except (OSError, StopIteration, ValueError):
        return None


def _role(name: str) -> str | None:
    return EXECUTOR if name.startswith(_EXECUTOR_PREFIX) else ROLES.get(name)


def _all(root: Path) -> Iterator[tuple[int, LiveProcess]]:
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    for name in os.listdir(root / "proc"):
        if not name.isdigit():
            continue
        try:
            said = (root / "proc" / name / "stat").read_bytes()
        except OSError:
            continue  # it has ended
        # A name may have spaces and brackets.
        head, _, rest = said.rpartition(b") ")
        fields = rest.split()
        if len(fields) > _STARTED:
            ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
            title = head.partition(b"(")[2].decode(errors="replace")
            yield (
                int(name),
                LiveProcess(int(fields[_PARENT]), title, ticks / ticks_per_s, int(fields[_STARTED])),
            )


def _memory_mb(root: Path, pid: int) -> float:
    """Return a process's resident memory without files and shared memory; a page that a forked worker still
    shares with its template counts in both."""
    try:
        fields = (root / "proc" / str(pid) / "statm").read_bytes().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / BYTES_PER_MB
    except (OSError, IndexError, ValueError):
        return 0.0
