"""The stage with nodes that were heard of, a scheduler, and questions about the cluster."""

from __future__ import annotations

from typing import Any

import orjson

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import Rejected
from helix_ray.core.liveness import Liveness, Pulse
from helix_ray.core.policy import Policy
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from tests.unit.core.stage import DEV, NODE, Stage


class ScheduledStage(Stage):
    """A stage with pulses and a scheduler."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.liveness = Liveness()
        self.scheduler = Scheduler(self.policy)

    def ask(self, question: q.Question, by: Principal = DEV) -> Any:
        """Answer a question about the cluster; it must be JSON."""
        view = answer(self.picture(self.liveness), question, by)
        assert isinstance(view, Rejected) or orjson.dumps(view)
        return view

    def schedule(self) -> None:
        """Place what fits."""
        for body in self.scheduler.react(News(self.state, self.liveness, self.now, self.now)):
            self.give(body, SYSTEM)

    def pulse(self, worker_id: str = NODE, **usage: Any) -> None:
        """Hear of a worker."""
        self.liveness.begin(worker_id, Pulse(self.now, self.now, usage=usage))

    def distribute(self, task_id: str, by: Principal = DEV, **asked: Any) -> Any:
        """Plan and carry out; return the receipt's data, or the plan when it has no pairs."""
        plan = self.ask(q.PlanTask(task_id, **asked), by)
        if isinstance(plan, Rejected) or not plan["pairs"]:
            return plan
        body = o.DistributeTask(
            task_id, tuple(plan["pairs"]), asked.get("strategy"), tuple(asked.get("capabilities", ()))
        )
        return self.give(body, by)
