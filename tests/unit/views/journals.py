"""Journals to feed a history with: an engine, a hand-moved clock, and orders drawn by chance from a seed."""

from __future__ import annotations

import random
from typing import Any

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.orders import AttemptReport, Order, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from tests.cast import enrol

ADA = Principal("user-ada", "ada", ("developer",))
BOB = Principal("user-bob", "bob", ("developer",))
ADMIN = Principal("user-admin", "admin", ("admin",))
BOT = Principal("user-bot", "bot", ("worker",))
WORKER, EXTERNAL = "worker-1", "worker_ext"


class HandClock:
    """Time as the test says it is."""

    now = 1_790_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class RandomEngine:
    """An engine that is given orders by chance; the same seed gives the same journal."""

    def __init__(self, seed: int) -> None:
        self.journal = MemoryJournal()
        self.clock = HandClock()
        self.engine = Engine(self.journal, Policy(losses_max=1), self.clock)
        self._chance = random.Random(seed)
        self._count = 0
        enrol(self.engine, ADA, BOB, ADMIN, BOT)
        self.give(
            o.RegisterWorker(
                "host", (), {"cpu": 4}, worker_id=WORKER, kind="node", node_id="node-1", boot="boot"
            ),
            SYSTEM,
        )

    def give(self, body: OrderBody, by: Principal) -> None:
        """Carry out an order; refusals are part of the game."""
        self._count += 1
        self.clock.now += self._chance.choice([0.001, 0.25, 3.0])
        self.engine.execute([Order(body, by, f"req-{self._count}", f"{self._count:09d}aaaaaaaaaaa")])

    def run(self, orders: int) -> None:
        """Give this many orders."""
        for _ in range(orders):
            make = self._chance.choice(
                [
                    self._submit,
                    self._start,
                    self._start,
                    self._report,
                    self._report,
                    self._by_hand,
                    self._external,
                ]
            )
            make()

    def _pick(self, *statuses: Status) -> str | None:
        found = [task.id for task in self.engine.state.tasks.values() if task.status in statuses]
        return self._chance.choice(found) if found else None

    def _submit(self) -> None:
        specs = tuple(self._spec() for _ in range(self._chance.choice([1, 1, 4])))
        self.give(o.SubmitTasks(specs), self._chance.choice([ADA, BOB]))

    def _spec(self) -> dict[str, Any]:
        pick = self._chance.choice
        spec: dict[str, Any] = {
            "title": pick(["ü title", "two\x00parts", ""]),
            "type": pick(["testing", "building"]),
        }
        if pick([True, False]):
            function = {"kind": "function", "function": "helix_ray.samples:noop", "args": [], "kwargs": {}}
            spec["run"] = pick([{"kind": "command", "argv": ["true"]}, function])
            spec |= {
                "max_retries": pick([0, 1]),
                "priority": pick(["low", "critical"]),
                "labels": {"zone": "a"},
            }
            if pick([True, False, False]):
                spec["shards"] = {"count": 2, "gang": pick([True, False])}
        else:
            spec |= {"project_id": pick(["p-1", "p-2"]), "description": "words"}
        other = self._pick(*Status)
        if other is not None and pick([True, False, False]):
            spec["depends_on"] = [other]
        return spec

    def _start(self) -> None:
        task_id = self._pick(Status.PENDING)
        if task_id is not None:
            victim = self._chance.choice([None, self._pick(Status.RUNNING)])
            stop = ((victim, self.engine.state.tasks[victim].attempt),) if victim is not None else ()
            self.give(o.StartAttempts(((task_id, WORKER),), stop), SYSTEM)

    def _report(self) -> None:
        task_id = self._pick(Status.RUNNING)
        if task_id is None:
            return
        outcome = self._chance.choice(["completed", "completed", "failed", "lost", "returned", "progressed"])
        report = AttemptReport(
            task_id, self.engine.state.tasks[task_id].attempt, outcome,
            {"value": 1} if outcome == "completed" else None,
            {"reason": "exit", "message": "ö"} if outcome == "failed" else None, self._chance.uniform(1, 99),
            self._chance.choice([None, "half way"]), self._chance.choice([None, 0.5]),
        )  # fmt: skip
        self.give(o.ReportAttempts(WORKER, "boot", (report,)), SYSTEM)

    def _external(self) -> None:
        """An external worker comes, claims, reports, is lost and comes back, with or without what it had."""
        held = [t.id for t in self.engine.state.tasks.values() if t.worker == EXTERNAL]
        told = self._chance.choice(held) if held else "task-none"
        boot = self._chance.choice(["1", "2"])
        bodies: list[OrderBody] = [
            o.RegisterWorker("ext", ("testing", "building"), {}, worker_id=EXTERNAL, boot=boot),
            o.Heartbeat(EXTERNAL, "idle"),
            o.Heartbeat(EXTERNAL, "idle"),
            o.UpdateTask(told, "completed", result={"success": True}),
            o.UpdateTask(told, "failed", error={"reason": "exit", "message": "1"}),
            o.UpdateTask(told, "pending"),
        ]
        by_system: list[OrderBody] = [o.LoseWorker(EXTERNAL, "silent"), o.RemoveWorker(EXTERNAL)]
        body = self._chance.choice(bodies + by_system[: self._chance.choice([0, 0, 1, 2])])
        self.give(body, SYSTEM if body in by_system else BOT)

    def _by_hand(self) -> None:
        task_id = self._pick(*Status)
        if task_id is None:
            return
        ended = self._pick(*TERMINAL) or task_id
        edits = {"title": "edited", "priority": "high", "project_id": None}
        bodies: list[OrderBody] = [
            o.CancelTask(task_id),
            o.RetryTask(ended),
            o.DeleteTask(task_id),
            o.UpdateTask(task_id, edits=edits),
            o.UpdateTask(task_id, status="completed", result=[1, None]),
            o.UpdateTask(task_id, progress=40.0),
            o.ReleaseTasks(tuple(self.engine.state.delayed)),
        ]
        self.give(self._chance.choice(bodies), ADMIN)
