"""What a flood of failed logins costs: `python -m benchmarks.refusals [LOGINS]`
prints one JSON object a line.

1,000,000 failed logins from 10,000 addresses, in simulated time, at three paces: within minutes, at what
argon2 lets through on two cores, and spread over a day. For each: facts and bytes of the journal (goal: under
50 MB), CPU microseconds of the master a refusal, and the same for a heartbeat as an anchor. A login that
succeeds in the middle has to be a fact of its own.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import orjson

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.events import RequestsRefused, SessionOpened
from helix_ray.core.orders import Order, Refusal
from helix_ray.core.origin import Origin
from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.testing import ManualClock

ADDRESSES = 10_000
# Refusals that a replica sends in one message while the master is busy.
PER_NOTE = 50
PACES = {"in 10 minutes": 600.0, "as fast as argon2": 25_000.0, "over a day": 86_400.0}


class Master:
    """An engine with a journal on the disk, and its time."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.folder = folder
        self.journal = SqliteJournal(folder, b"k" * 32)
        self.engine = Engine(self.journal, Policy(), self.clock)
        self._orders = 0
        self.give(o.CreateUser("admin", "$argon2id$1", ("admin",)))
        self.give(o.RegisterWorker("host", (), {}, worker_id="worker_a"))

    def give(self, body: o.OrderBody) -> None:
        """Carry out an order of the system."""
        self._orders += 1
        (answer,) = self.engine.execute([Order(body, SYSTEM, "req-flood", f"seed-{self._orders}")])
        assert not isinstance(answer, Rejected), answer


def flood(master: Master, logins: int, lasts_s: float) -> float:
    """Have logins fail over a time, one succeed among them; return the CPU seconds of the notes."""
    chance = random.Random(1)
    spent = 0.0
    for first in range(0, logins, PER_NOTE):
        refusals = tuple(_refusal(first + i, chance.randrange(ADDRESSES)) for i in range(PER_NOTE))
        began = time.process_time()
        master.give(o.NoteRefusals(refusals))
        spent += time.process_time() - began
        master.clock.advance(lasts_s * PER_NOTE / logins)
        if first == logins // 2:
            admin = master.engine.state.users_by_name["admin"]
            master.give(o.OpenSession(admin, "session-1", "hash", 1e12))
    master.clock.advance(120.0)
    began = time.process_time()
    while master.engine.refusals.due(master.clock.wall()):
        master.engine.execute([])
    return spent + time.process_time() - began


def _refusal(number: int, address: int) -> Refusal:
    origin = Origin(f"10.1.{address // 256}.{address % 256}", "", "python-requests/2.32.3")
    return Refusal(
        "login",
        "credentials",
        f"user-{number % 500}",
        author="anonymous",
        request_id=f"req-{number:012x}",
        origin=origin,
    )


def heartbeats(master: Master, count: int) -> float:
    """Return CPU seconds of heartbeats, each a commit's only order."""
    began = time.process_time()
    for _ in range(count):
        master.give(o.Heartbeat("worker_a", "busy"))
    return time.process_time() - began


def measure(pace: str, lasts_s: float, logins: int, folder: Path) -> None:
    """Print what one flood costs."""
    master = Master(folder)
    anchor_us = heartbeats(master, 20_000) / 20_000 * 1e6
    spent = flood(master, logins, lasts_s)
    events = [fact.event for fact in master.journal.read_after(0, 1 << 30)]
    refused = [event for event in events if isinstance(event, RequestsRefused)]
    assert sum(event.count for event in refused) == logins
    assert sum(isinstance(event, SessionOpened) for event in events) == 1
    master.journal.close()
    size = sum(path.stat().st_size for path in folder.glob("journal.sqlite*"))
    report = {
        "bench": "refusals", "pace": pace, "logins": logins, "facts": len(refused),
        "mb": round(size / 1e6, 1),
        "bytes_a_fact": round(size / len(refused)), "us_a_refusal": round(spent / logins * 1e6, 1),
        "us_a_heartbeat": round(anchor_us, 1),
    }  # fmt: skip
    print(orjson.dumps(report).decode(), flush=True)


def main() -> None:
    """Measure in temporary folders."""
    logins = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for pace, lasts_s in PACES.items():
        with tempfile.TemporaryDirectory() as folder:
            measure(pace, lasts_s, logins, Path(folder))


if __name__ == "__main__":
    main()
