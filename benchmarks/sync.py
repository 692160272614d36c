"""Synced devices on one core: how long after a change the devices that follow it have it, and at what cost.

The service is the product's, on a file. What is simulated is the control plane that it reads from, which has
a core of its own in a cluster. Every device waits in a long poll, as actors/sync_devices.py answers it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale
from helix_ray.core import events as ev
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Fact
from helix_ray.core.follows import Scope, Selector
from helix_ray.core.questions import DeviceBoard, PullChanges, QuestionKind, ScopeRows
from helix_ray.core.task_scope import TaskScope
from helix_ray.core.views.sync import TaskRow
from helix_ray.ports import Batch
from helix_ray.sync.change_log import ChangeLog
from helix_ray.sync.desk import SyncDesk
from helix_ray.sync.service import SyncService

NAME = "sync"
KEY = b"k" * 32
CHANGES_PER_S = 1_000
TASKS_PER_USER = 10
LAG_P99_S_MAX = 2.0
WAIT_S = 25.0
TICK_S = 0.01
BEHIND_S_MAX = 60.0


@dataclass
class Simulated:
    """A control plane with tasks of many users, each with a device; a change of a task is a fact."""

    users: int
    seq: int = 0
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    # By task: the seqs of its changes that no device has seen, and when they were due.
    unseen: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    changes: int = 0

    def __post_init__(self) -> None:
        for user in range(self.users):
            for number in range(TASKS_PER_USER):
                task_id = f"task-{user}-{number}"
                self.tasks[task_id] = _row(task_id, f"user-{user}")

    async def ask(self, question: QuestionKind[Any]) -> Any:
        """Answer what the service asks."""
        if isinstance(question, DeviceBoard):
            devices = [_device(user) for user in range(self.users)]
            return {"devices": devices, "total": self.users, "seq": self.seq}
        if isinstance(question, ScopeRows):
            user = question.scope.user.removeprefix("user-")
            found = [self.tasks[f"task-{user}-{number}"] for number in range(TASKS_PER_USER)]
            return {"tasks": found, "documents": [], "seq": self.seq, "whole": True}
        tasks = [self.tasks[task_id] for task_id in question.task_ids]  # type: ignore[attr-defined]
        return {"tasks": tasks, "documents": [], "seq": self.seq, "whole": True}

    def change(self, task_id: str, at: float) -> Fact:
        """Change a task that was due to change at a monotonic time."""
        self.seq += 1
        self.tasks[task_id]["progress"] = float(self.seq % 100)
        self.unseen.setdefault(task_id, []).append((self.seq, at))
        self.changes += 1
        return Fact(self.seq, time.time(), "user", "req-1", ev.TaskProgressed(task_id, 1, self.seq % 100))

    def seen(self, task_id: str, version: int) -> list[float]:
        """Return when the changes were due that a device sees now: the newest, and those that it overtook."""
        unseen = self.unseen.get(task_id, [])
        self.unseen[task_id] = [change for change in unseen if change[0] > version]
        return [at for seq, at in unseen if seq <= version]


def run(scale: Scale) -> Report:
    """Fill the lists, let all devices pull, then change tasks at a steady rate."""
    users = scale.sync_devices
    rounds = [_round(users, scale.sync_s) for _ in range(scale.rounds if scale.rounds < 3 else 3)]
    lag = Series("", "s", tuple(each.lag_p99_s for each in rounds))
    what = f"{users:,} devices, {CHANGES_PER_S:,} changes/s"
    lines = (
        Line(f"{what}: lag p99", lag, goal=at_most(LAG_P99_S_MAX, "s", lag)),
        Line(f"{what}: lag p50", Series("", "s", tuple(each.lag_p50_s for each in rounds))),
        Line(f"{what}: share of the core", Series("", "%", tuple(each.core * 100 for each in rounds))),
        Line("first pulls a second, 10 rows each", Series("", "1/s", tuple(each.first for each in rounds))),
        Line("lists filled a second", Series("", "1/s", tuple(each.filled for each in rounds))),
        Line(f"memory for {users:,} lists", Series("", "MiB", tuple(each.memory_mib for each in rounds))),
    )
    notes = (
        "one process on one core: the service, its file, and the devices that wait; without HTTP",
        f"each device follows {TASKS_PER_USER} tasks of its user; a change is seen by one device",
        "lag: from when a change was due until the device has it; CPU time of the process over time passed",
    )
    return Report(NAME, "synced devices on one core", lines, notes)


@dataclass(frozen=True, slots=True)
class _Round:
    lag_p50_s: float
    lag_p99_s: float
    core: float
    first: float
    filled: float
    memory_mib: float


def _round(users: int, seconds: float) -> _Round:
    with TemporaryDirectory() as folder, _one_core():
        return asyncio.run(_measured(users, seconds, Path(folder)))


async def _measured(users: int, seconds: float, folder: Path) -> _Round:
    plane = Simulated(users)
    before = _rss_mib()
    began = time.process_time()
    begun = partial(_desk, folder / "sync.sqlite")
    service = SyncService(begun, plane.ask, BEHIND_S_MAX)
    await service.take(Batch((), 0, 0))
    filled_s = time.process_time() - began
    memory = _rss_mib() - before
    began = time.process_time()
    cursors = [await _first(service, user) for user in range(users)]
    first_s = time.process_time() - began
    lags: list[float] = []
    devices = [
        asyncio.create_task(_follow(service, plane, user, cursor, lags))
        for user, cursor in enumerate(cursors)
    ]
    await asyncio.sleep(1.0)
    cpu, wall = time.process_time(), time.monotonic()
    await _change(service, plane, users, seconds)
    while len(lags) < plane.changes:
        await asyncio.sleep(TICK_S)
    core = (time.process_time() - cpu) / (time.monotonic() - wall)
    for device in devices:
        device.cancel()
    await asyncio.gather(*devices, return_exceptions=True)
    service.desk.log.close()
    lags.sort()
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    return _Round(p50, p99, core, users / first_s, users / filled_s, memory)


def _desk(path: Path) -> SyncDesk:
    return SyncDesk(ChangeLog(path), KEY, 30.0)


async def _first(service: SyncService, user: int) -> str:
    page = await service.pull(PullChanges(f"device-{user}"), f"user-{user}", 0, 0.0)
    if page is None or isinstance(page, Rejected) or page["rows"] != TASKS_PER_USER:
        raise AssertionError(f"a first pull got {page}")
    return page["cursor"]


async def _follow(service: SyncService, plane: Simulated, user: int, cursor: str, lags: list[float]) -> None:
    """Wait for changes for ever."""
    while True:
        page = await service.pull(PullChanges(f"device-{user}", cursor), f"user-{user}", 0, WAIT_S)
        if page is None or isinstance(page, Rejected):
            raise AssertionError(f"a pull got {page}")
        now = time.monotonic()
        for change in page["changes"]:
            lags += [now - due for due in plane.seen(change["key"], change["version"])]
        cursor = page["cursor"]


async def _change(service: SyncService, plane: Simulated, users: int, seconds: float) -> None:
    chance = random.Random(1)
    begun, done = time.monotonic(), 0
    while done < CHANGES_PER_S * seconds:
        due = min(int((time.monotonic() - begun) * CHANGES_PER_S), int(CHANGES_PER_S * seconds))
        facts = []
        for number in range(done, due):
            task_id = f"task-{chance.randrange(users)}-{chance.randrange(TASKS_PER_USER)}"
            facts.append(plane.change(task_id, begun + number / CHANGES_PER_S))
        done = due
        if facts:
            await service.take(Batch(tuple(facts), plane.seq, plane.seq))
        await asyncio.sleep(TICK_S)


def _row(task_id: str, owner: str) -> TaskRow:
    now = time.time()
    return {
        "id": task_id, "title": "Test Task", "description": None, "type": "building", "priority": "normal",
        "status": "running", "project_id": None, "owner": owner, "holder": None, "labels": {},
        "assigned_worker": "worker-node-1", "progress": 0.0, "progress_note": None, "error": None,
        "created_at": now, "updated_at": now, "started_at": now, "finished_at": None, "deadline": None,
    }  # fmt: skip


def _device(user: int) -> dict[str, Any]:
    name = f"user-{user}"
    scope = Scope(name, TaskScope(name, None), (Selector(owner=name),), ("settings", "notes"))
    return {
        "id": f"device-{user}", "user": name, "name": "phone", "type": "phone", "scope": scope,
        "last_mutation": 0, "refused": None, "enrolled_at": 0.0,
    }  # fmt: skip


@contextmanager
def _one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
