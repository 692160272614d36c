"""A master without processes: real engine, followers and SQLite file, and the CPU time
of each turn of its loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.clock import SystemClock
from actors.collector import GC_THRESHOLD, NEVER
from actors.commits import Commits
from actors.inbox import Answers
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.core.questions import Question
from helix_ray.engine import Engine
from helix_ray.followers.in_master import in_master
from helix_ray.journal.sqlite import SqliteJournal

KEY = b"k" * 32
BOOT = "boot"
FUNCTION: dict[str, Any] = {"kind": "function", "function": "helix_ray.samples:noop"}
# The processor time of `_yardstick` on the machine whose bounds the tests have, at rest.
YARDSTICK_S = 0.0024
YARDSTICK_TASKS = 5_000
# Shorter turns are within any bound, and are not worth measuring the machine for.
LONG_S = 0.05


def spec(**fields: Any) -> dict[str, Any]:
    """Return a task spec as the wire makes it."""
    return {"title": "Test Task", "type": "building", **fields}


def _yardstick() -> float:
    """Return the processor time of work that is always the same, and like that of a turn."""
    started = time.thread_time()
    made = {f"task-{n}": {"id": n, "labels": {}, "at": (n, n + 1)} for n in range(YARDSTICK_TASKS)}
    assert sum(len(each) for each in made.values()) == 3 * YARDSTICK_TASKS
    return time.thread_time() - started


def slowness() -> float:
    """Return how many times as long as at rest this machine takes now, at least 1: it may be a slower one, or
    share its caches and cores with others."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return max(1.0, min(_yardstick() for _ in range(3)) / YARDSTICK_S)
    finally:
        if was_enabled:
            gc.enable()


class Turns:
    """What is carried out between two looks of others: `seconds` of CPU time of each turn, as of a machine at
    rest, by what ran in it."""

    def __init__(self, folder: Path) -> None:
        # No node is lost, though none is heard of.
        policy = Policy(node_lease_s=3600.0)
        self.journal = SqliteJournal(folder, KEY)
        self.engine = Engine(self.journal, policy, SystemClock())
        self.seconds: list[tuple[float, str]] = []
        self._slowness = 1.0
        self._ran: list[str] = []
        self._serial = 0
        self.commits = Commits(self.engine, in_master(policy), self._ran.append)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Forget the turns so far, and have the collector as the master has it."""
        before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, NEVER, NEVER)
        self.seconds.clear()
        self._slowness = slowness()
        try:
            yield
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()

    def longest(self) -> tuple[float, str]:
        """Return the longest turn, and what ran in it."""
        return max(self.seconds)

    def turn(self, work: Callable[[], Any]) -> Any:
        """Do something in a turn of its own."""
        started = time.thread_time()
        done = work()
        seconds = time.thread_time() - started
        if seconds > LONG_S:
            before, self._slowness = self._slowness, slowness()
            seconds /= max(before, self._slowness)
        self.seconds.append((seconds, "+".join(dict.fromkeys(self._ran)) or "look"))
        self._ran.clear()
        return done

    def call(self, *bodies: OrderBody) -> Answers:
        """Send orders in one message, and go on until nothing is left to be done; return their answers."""
        return self.calls([bodies])[0]

    def calls(self, messages: Sequence[Sequence[OrderBody]]) -> list[Answers]:
        """Send messages at the same time."""

        async def drive() -> list[Answers]:
            loop = asyncio.get_running_loop()
            futures = [loop.create_future() for _ in messages]
            for bodies, future in zip(messages, futures, strict=True):
                self.commits.put([self._order(body) for body in bodies], future)
            busy = True
            while busy or self.commits:
                self.turn(self.commits.commit)
                busy = self.turn(self.commits.react)
            return [future.result() for future in futures]

        answers = asyncio.run(drive())
        refused = [answer for some in answers for answer in some if isinstance(answer, Rejected)]
        assert not refused, refused[0]
        return answers

    def _order(self, body: OrderBody) -> Order:
        self._serial += 1
        return Order(body, SYSTEM, "req-test", f"seed-{self._serial:08}")

    def submit(self, specs: Sequence[dict[str, Any]]) -> list[str]:
        """Submit tasks in one order; return their ids."""
        [answer] = self.call(o.SubmitTasks(tuple(specs)))
        assert not isinstance(answer, Rejected)
        assert not answer.data["rejected"], answer.data["rejected"]
        return task_ids(answer.data["seed"], len(specs))

    def add_nodes(self, offers: Sequence[o.RegisterWorker]) -> None:
        """Register node workers."""
        self.engine.execute([self._order(offer) for offer in offers])

    def ask(self, question: Question) -> None:
        """Answer a question, step by step where it is answered in steps."""
        if not question.in_steps:
            while self.turn(self.engine.look_on):
                pass
            self._ran.append(type(question).__name__)
            assert not isinstance(self.turn(lambda: self.engine.query(question, SYSTEM)), Rejected)
            return
        steps = self.engine.steps(question, SYSTEM)
        over = object()
        while self.turn(lambda: next(steps, over)) is not over:
            self.seconds[-1] = (self.seconds[-1][0], type(question).__name__)
