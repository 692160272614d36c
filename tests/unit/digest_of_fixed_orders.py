"""Drives an engine with fixed orders and prints the digests of its facts and of its state.

Run by test_engine.py under two PYTHONHASHSEEDs. Chance is a generator with a fixed seed.
"""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import orjson

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.orders import AttemptReport, Order, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.followers.base import News
from helix_ray.followers.in_master import in_master
from helix_ray.journal.memory import MemoryJournal
from tests.cast import slot

ROUNDS = 60
DEV = Principal("user-dev", "dev", ("developer",))
BOT = Principal("user-bot", "bot", ("worker",))


class StepClock:
    """A clock that moves when it is told to."""

    now = 1_700_000_000.0

    def wall(self) -> float:
        """Return epoch seconds."""
        return self.now

    def monotonic(self) -> float:
        """Return the same."""
        return self.now


class Play:
    """One engine and the orders that it gets."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        self.clock = StepClock()
        self.engine = Engine(MemoryJournal(), Policy(), self.clock)
        self.followers = in_master(self.engine.policy)
        self.serial = 0
        slot(self.engine.state, DEV, BOT)

    def give(self, body: OrderBody, by: Principal = SYSTEM) -> None:
        """Send an order."""
        self.serial += 1
        self.engine.execute(
            [Order(body, by, f"req-{self.serial}", f"seed-{self.serial}", f"key-{self.serial}", "f")]
        )

    def begin(self) -> None:
        """Register three nodes with sets of capabilities and labels, and an external worker."""
        for i in range(3):
            name = f"worker-{i}"
            can = tuple(f"skill-{j}" for j in range(8))
            labels = {f"label-{j}": "x" for j in range(8)}
            self.give(
                o.RegisterWorker(
                    "host",
                    can,
                    {"cpu": 2.0, "gpu": 1.0},
                    worker_id=name,
                    kind="node",
                    node_id=name,
                    boot="boot",
                    labels=labels,
                )
            )
        self.give(o.RegisterWorker("host", ("building", "testing"), {}, worker_id="worker_bot"), BOT)

    def submit(self) -> None:
        """Submit a batch with references, capabilities and labels."""
        specs = []
        for i in range(6):
            spec: dict[str, Any] = {
                "title": "t",
                "type": self.chance.choice(("building", "testing")),
                "max_retries": 1,
            }
            if i % 3:
                spec["run"] = {"kind": "command", "argv": ["true"]}
                spec["required_capabilities"] = self.chance.sample([f"skill-{j}" for j in range(8)], 3)
                spec["labels"] = {f"label-{j}": "x" for j in self.chance.sample(range(8), 2)}
            spec["depends_on"] = [
                f"#{j}" for j in self.chance.sample(range(8), self.chance.choice((0, 0, 2)))
            ]
            specs.append(spec)
        self.give(o.SubmitTasks(tuple(specs)), DEV)

    def work(self) -> None:
        """Let followers react, nodes report, the external worker work, and now and then a node die."""
        for follower in self.followers:
            state, now = self.engine.state, self.clock.now
            for body in follower.react(News(state, self.engine.liveness, now, now)):
                self.give(body)
        for i in range(3):
            running = list(self.engine.state.workers[f"worker-{i}"].running.items())
            outcomes = ("completed", "completed", "failed", "lost", "returned")
            reports = tuple(AttemptReport(t, n, self.chance.choice(outcomes)) for t, n in running)
            self.give(o.ReportAttempts(f"worker-{i}", "boot", reports))
        self.give(o.Heartbeat("worker_bot", "idle"), BOT)
        for task_id in list(self.engine.state.workers["worker_bot"].running):
            self.give(o.UpdateTask(task_id, self.chance.choice(("completed", "failed", "pending"))), BOT)
        if self.chance.random() < 0.1:
            self.give(o.LoseWorker(f"worker-{self.chance.randrange(3)}", "gone"))
        for i in range(3):
            self.give(o.Heartbeat(f"worker-{i}"))

    def run(self) -> None:
        """Play all rounds."""
        self.begin()
        for _ in range(ROUNDS):
            self.clock.now += 0.7
            self.submit()
            self.work()


def digest(value: object) -> str:
    """Return the digest of a value as JSON."""
    return sha256(orjson.dumps(value)).hexdigest()


if __name__ == "__main__":
    play = Play()
    play.run()
    facts = play.engine.journal.read_after(0, 1_000_000)
    assert len(facts) > 1000
    print(digest(facts), digest(snapshot.dump(play.engine.state)))
