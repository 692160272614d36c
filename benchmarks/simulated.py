"""The control plane without processes: engine, journal and scheduler, with nodes that are only registered.

What a node worker would report is reported here. Nothing waits for anything, so what is measured is the cost
of deciding: place, decide, evolve, append.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from benchmarks.history import PastClock
from benchmarks.trace import Offer
from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Pulse
from helix_ray.core.orders import (
    AnyOrder,
    AttemptReport,
    Order,
    OrderBody,
    RegisterWorker,
    ReportAttempts,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.policy import Policy
from helix_ray.core.questions import QuestionKind, View
from helix_ray.core.specs import TaskSpec
from helix_ray.engine import Engine
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from helix_ray.ports import Journal

BOOT = "boot"
SUBMIT_TASKS = 500
# Long enough for a prefetch of 1.
DURATION_S = 1.0
RESULT = {"success": True, "value": None}


class Simulated:
    """An engine with nodes; `placed` are tasks in the order of their starts."""

    def __init__(self, journal: Journal, offers: Iterable[Offer]) -> None:
        policy = Policy()
        self.clock = PastClock()
        self.engine = Engine(journal, policy, self.clock)
        self.engine.recover()
        self.scheduler = Scheduler(policy)
        self.placed: list[str] = []
        self._serial = 0
        self._execute([self._registration(offer) for offer in offers])

    def _registration(self, offer: Offer) -> RegisterWorker:
        return RegisterWorker(
            offer.id,
            offer.capabilities,
            dict(offer.resources),
            worker_id=offer.id,
            kind="node",
            node_id=offer.id,
            boot=BOOT,
            labels=dict(offer.labels),
        )

    def _execute(self, bodies: Sequence[OrderBody], seed: str = "") -> None:
        orders: list[AnyOrder] = []
        for body in bodies:
            self._serial += 1
            orders.append(Order(body, SYSTEM, "req-benchmark", seed or f"seed-{self._serial:08}"))
        for answer in self.engine.execute(orders):
            if isinstance(answer, Rejected):
                raise RuntimeError(f"{answer.message} {answer.details}")

    def submit(self, specs: Sequence[TaskSpec]) -> list[str]:
        """Submit tasks; return their ids."""
        ids: list[str] = []
        rest = iter(specs)
        while some := tuple(islice(rest, SUBMIT_TASKS)):
            seed = f"seed-{self._serial + 1:08}"
            self._execute([SubmitTasks(some)], seed)
            ids += task_ids(seed, len(some))
        return ids

    def react(self) -> int:
        """Let the scheduler react once, as the master does after a commit; return how
        many tasks were started."""
        news = News(self.engine.state, self.engine.liveness, self.clock.wall(), self.clock.monotonic())
        bodies = self.scheduler.react(news)
        while self.scheduler.busy:
            bodies = self.scheduler.react(news)
        if not bodies:
            return 0
        self._execute(bodies)
        pairs = [pair for body in bodies if isinstance(body, StartAttempts) for pair in body.pairs]
        self.placed.extend(task_id for task_id, _ in pairs)
        return len(pairs)

    def end(self, count: int) -> int:
        """Report the tasks that were started first as completed, each node its own;
        return how many there were."""
        by_worker: dict[str, list[AttemptReport]] = {}
        ending, self.placed = self.placed[:count], self.placed[count:]
        for task_id in ending:
            task = self.engine.state.tasks[task_id]
            if task.status is Status.RUNNING and task.worker is not None:
                report = AttemptReport(task_id, task.attempt, "completed", RESULT, duration_s=DURATION_S)
                by_worker.setdefault(task.worker, []).append(report)
        self._execute([ReportAttempts(worker, BOOT, tuple(told)) for worker, told in by_worker.items()])
        return sum(len(told) for told in by_worker.values())

    def hear(self) -> None:
        """Let every node send a heartbeat."""
        for worker_id in self.engine.state.workers:
            self.engine.liveness.begin(worker_id, Pulse(self.clock.monotonic(), self.clock.wall()))

    def ask(self, question: QuestionKind[View]) -> View:
        """Answer a question; raises RuntimeError where it is refused."""
        answer = self.engine.query(question, SYSTEM)
        if isinstance(answer, Rejected):
            raise RuntimeError(f"{answer.message} {answer.details}")
        return answer
