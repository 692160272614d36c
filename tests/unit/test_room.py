"""Where nothing can be recorded, orders are refused before they change anything; questions
and signs of life go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import (
    CreateUser,
    Heartbeat,
    OpenSession,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    SubmitTasks,
)
from helix_ray.core.policy import Policy
from helix_ray.core.questions import Counts
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.room import BALLAST_BYTES, BALLAST_FILE, DiskRoom, Hindrance
from helix_ray.testing import ManualClock
from helix_ray.wire.ids import new_seed

TASK = {"title": "t", "type": "planning", "priority": "high"}
FULL = Hindrance("disk_full", {"free_bytes": 0, "reserve_bytes": 1})


class _Disk:
    """Room as a test says it is."""

    def __init__(self) -> None:
        self.full = False
        self.asked = 0

    def __call__(self, *, vital: bool) -> Rejected | None:
        self.asked += 1
        return FULL.rejected() if self.full and not vital else None


def _engine() -> tuple[Engine, _Disk]:
    disk = _Disk()
    return Engine(MemoryJournal(), Policy(), ManualClock(), disk), disk


def _do(engine: Engine, *bodies: OrderBody) -> list[Receipt | Rejected]:
    return engine.execute([Order(body, SYSTEM, "req-test", new_seed()) for body in bodies])


def test_an_order_without_room_changes_nothing() -> None:
    """It is refused with the reason; state and journal are as before, and it goes in
    when there is room again."""
    engine, disk = _engine()
    disk.full = True
    (refused,) = _do(engine, SubmitTasks((TASK,)))
    assert isinstance(refused, Rejected)
    assert refused.code is ErrorCode.SERVICE_UNAVAILABLE
    assert refused.details["reason"] == "disk_full"
    assert refused.details["retry_after_s"] > 0
    assert engine.state.seq == engine.journal.head() == 0
    assert isinstance(engine.query(Counts(), SYSTEM), dict)
    disk.full = False
    (taken,) = _do(engine, SubmitTasks((TASK,)))
    assert isinstance(taken, Receipt)


def test_the_disk_is_asked_once_a_commit() -> None:
    """A commit of many orders costs one look; one without facts costs none."""
    engine, disk = _engine()
    _do(engine, *(SubmitTasks((TASK,)) for _ in range(50)))
    assert disk.asked == 1


def test_bad_orders_keep_their_own_refusals() -> None:
    """A full disk does not turn 400 into 503."""
    engine, disk = _engine()
    disk.full = True
    (refused,) = _do(engine, SubmitTasks(()))
    assert isinstance(refused, Rejected)
    assert refused.code is ErrorCode.VALIDATION_ERROR


def test_sessions_may_use_the_last_room() -> None:
    """Somebody must be able to log in and look."""
    engine, disk = _engine()
    (user,) = _do(engine, CreateUser("ada", "hash", ("admin",)))
    assert isinstance(user, Receipt)
    disk.full = True
    (opened,) = _do(engine, OpenSession(user.data["id"], "session-1", "ab" * 32, 2e9))
    assert isinstance(opened, Receipt)


def test_a_heartbeat_that_would_be_recorded_is_heard_all_the_same() -> None:
    """An external worker that is refused a task for want of room is not lost for it."""
    engine, disk = _engine()
    (registered, _) = _do(engine, RegisterWorker("host", ("planning",), {}), SubmitTasks((TASK,)))
    assert isinstance(registered, Receipt), registered
    worker_id = registered.data["worker_id"]
    before = engine.liveness.pulses[worker_id].mono
    disk.full = True
    assert isinstance(engine.clock, ManualClock)
    engine.clock.advance(5)
    (answer,) = _do(engine, Heartbeat(worker_id, "idle"))
    assert isinstance(answer, Rejected)
    assert engine.liveness.pulses[worker_id].mono == before + 5


def test_the_ballast_is_kept_while_there_is_room_and_cut_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the reserve does not give, the ballast does, piece by piece, until it is used up."""
    real = os.statvfs
    free = [1 << 40]

    def seen(path: Path) -> os.statvfs_result:
        values = list(real(tmp_path))
        values[0:2] = [1, 1]
        values[4] = max(0, free[0])
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", seen)
    room = DiskRoom(tmp_path, 1 << 20, ballast=True)
    assert room.refusal() is None
    ballast = tmp_path / BALLAST_FILE
    assert ballast.stat().st_size == BALLAST_BYTES
    truncate = os.truncate

    def give(path: Path, size: int) -> None:
        free[0] += path.stat().st_size - size
        truncate(path, size)

    monkeypatch.setattr(os, "truncate", give)
    free[0] = 0
    refused = room.refusal()
    assert refused is not None
    assert refused.details["reason"] == "disk_full"
    times = 0
    while room.refusal(vital=True) is None:
        free[0], times = 0, times + 1
    assert times >= 16
    assert ballast.stat().st_size == 0
    free[0] = 1 << 40
    assert room.refusal() is None
    assert ballast.stat().st_size == BALLAST_BYTES
