"""A small stage for tests of the core: a state moved by orders and facts, a clock as a number, a cast."""

from __future__ import annotations

from typing import Any

import orjson

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Picture
from helix_ray.core.decide import decide
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Event, Fact, TaskSubmitted
from helix_ray.core.evolve import evolve
from helix_ray.core.invariants import check
from helix_ray.core.liveness import Liveness
from helix_ray.core.orders import AttemptReport, Order, OrderBody, Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.state import State, Task
from tests.cast import slot

ADMIN = Principal("user-admin", "admin", ("admin",))
DEV = Principal("user-dev", "dev", ("developer",))
OTHER = Principal("user-other", "other", ("developer",))
VIEWER = Principal("user-view", "view", ("viewer",))
BOT = Principal("user-bot", "bot", ("worker",))
BOT_2 = Principal("user-bot2", "bot2", ("worker",))
CAST = (ADMIN, DEV, OTHER, VIEWER, BOT, BOT_2)

START = 1_700_000_000.0
NODE, NODE_2, EXTERNAL = "worker-node", "worker-node-2", "worker_bot"
COMMAND: dict[str, Any] = {"kind": "command", "argv": ["true"]}


def spec(**fields: Any) -> dict[str, Any]:
    """Return a task spec for external workers; `run=COMMAND` makes it one for nodes."""
    return {"title": "a task", "type": "building", **fields}


class Stage:
    """Gives orders to a state and keeps the facts; every state on the way must keep the laws."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.state = State()
        slot(self.state, *CAST)
        self.policy = Policy() if policy is None else policy
        self.now = START
        self.facts: list[Fact] = []
        self.serial = 0

    def decide(self, body: OrderBody, by: Principal = DEV, **envelope: Any) -> Decision | Rejected | Receipt:
        """Return what an order would lead to."""
        self.serial += 1
        fields: dict[str, Any] = {"request_id": f"req-{self.serial}", "seed": f"s{self.serial}", **envelope}
        return decide(self.state, Order(body, by, **fields), self.now, self.policy)

    def give(self, body: OrderBody, by: Principal = DEV, **envelope: Any) -> Any:
        """Carry out an order that must not be refused; return the receipt's data."""
        decided = self.decide(body, by, **envelope)
        assert not isinstance(decided, Rejected), decided
        if isinstance(decided, Decision):
            for event in decided.events:
                self.fold(event, by)
        return decided.data

    def refuse(self, body: OrderBody, by: Principal = DEV, **envelope: Any) -> Rejected:
        """Give an order that must be refused; return why."""
        decided = self.decide(body, by, **envelope)
        assert isinstance(decided, Rejected), decided
        orjson.dumps(decided.details)
        return decided

    def fold(self, event: Event, by: Principal = SYSTEM) -> None:
        """Make a fact of an event and fold it."""
        fact = Fact(self.state.seq + 1, self.now, by.id, f"req-{self.serial}", event)
        evolve(self.state, fact)
        self.facts.append(fact)

    def kinds(self, after: int = 0) -> list[str]:
        """Return the kinds of the facts after a seq."""
        return [type(fact.event).__name__ for fact in self.facts[after:]]

    def picture(self, liveness: Liveness | None = None) -> Picture:
        """Return what questions are answered from, with epoch 3 as the journal's."""
        return Picture(
            self.state,
            liveness or Liveness(),
            policy=self.policy,
            now=self.now,
            epoch=3,
            started_at=self.now - 60,
        )

    def sound(self) -> bool:
        """Say whether the state keeps every law."""
        return check(self.state) == []

    # ------------------------------------------------------------------------------------------ short ways

    def submit(self, *specs: dict[str, Any], by: Principal = DEV) -> list[str]:
        """Submit specs; return the ids of those that were taken in."""
        before = len(self.facts)
        self.give(o.SubmitTasks(specs), by)
        return [fact.event.id for fact in self.facts[before:] if isinstance(fact.event, TaskSubmitted)]

    def task(self, task_id: str) -> Task:
        """Return a task."""
        return self.state.tasks[task_id]

    def add_node(self, worker_id: str = NODE, boot: str = "boot-1", **fields: Any) -> None:
        """Register a node worker."""
        resources = fields.pop("resources", {"cpu": 4.0})
        body = o.RegisterWorker(
            "host", (), resources, worker_id=worker_id, kind="node", node_id="node-1", boot=boot, **fields
        )
        self.give(body, SYSTEM)

    def add_external(
        self,
        worker_id: str = EXTERNAL,
        by: Principal = BOT,
        *,
        can: tuple[str, ...] = ("building",),
        **fields: Any,
    ) -> None:
        """Register an external worker."""
        self.give(
            o.RegisterWorker("host", can, fields.pop("resources", {}), worker_id=worker_id, **fields), by
        )

    def start(self, *task_ids: str, worker: str = NODE) -> None:
        """Lease tasks to a node worker."""
        self.give(o.StartAttempts(tuple((i, worker) for i in task_ids)), SYSTEM)

    def report(self, *reports: AttemptReport, worker: str = NODE, boot: str = "boot-1") -> Any:
        """Have a node worker report."""
        return self.give(o.ReportAttempts(worker, boot, reports), SYSTEM)

    def end(self, task_id: str, outcome: str = "completed", **fields: Any) -> Any:
        """Have the node worker report the end of a task's current attempt."""
        task = self.task(task_id)
        return self.report(
            AttemptReport(task_id, task.attempt, outcome, **fields), worker=task.worker or NODE
        )

    def run_to(self, status: str, **fields: Any) -> str:
        """Return a node's task that stands at a status."""
        waits = {"depends_on": self.submit(spec())} if status == "waiting" else {}
        (task_id,) = self.submit(spec(run=COMMAND, **waits, **fields))
        if status in ("running", "completed", "failed"):
            if NODE not in self.state.workers:
                self.add_node()
            self.start(task_id)
        if status in ("completed", "failed"):
            self.end(task_id, status)
        if status == "cancelled":
            self.give(o.CancelTask(task_id))
        assert self.task(task_id).status == status
        return task_id


def add_user(stage: Stage, name: str = "ann", role: str = "developer") -> Principal:
    """Create a user; return it as a principal with session `sess-1`."""
    user_id = stage.give(o.CreateUser(name, "argon", (role,)), ADMIN)["id"]
    return Principal(user_id, name, (role,), "sess-1")
