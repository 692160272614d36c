"""The stage with a node of one CPU, on which functions wait for other tasks."""

from __future__ import annotations

from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.orders import AttemptReport
from helix_ray.core.policy import Policy
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import ADMIN, spec

RUN: dict[str, Any] = {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 2]}
CALL = spec(run=RUN)


class WaitingStage(ScheduledStage):
    """A stage with a node, and what its functions say of their waits."""

    def __init__(self, policy: Policy | None = None, **resources: float) -> None:
        super().__init__(policy)
        self.add_node(resources={"cpu": 1.0, **resources})
        self.pulse()

    def begun(self, **fields: Any) -> str:
        """Return a task that runs."""
        (task_id,) = self.submit({**CALL, **fields})
        self.schedule()
        assert self.task(task_id).status == "running", self.ask(q.ExplainTask(task_id))
        return task_id

    def block(self, task_id: str, *on: str, until: str = "all") -> Any:
        """Have a task say that it waits."""
        attempt = self.task(task_id).attempt
        return self.report(AttemptReport(task_id, attempt, "blocked", on=on, until=until))

    def go_on(self, task_id: str) -> Any:
        """Have a task say that it waits no more."""
        return self.report(AttemptReport(task_id, self.task(task_id).attempt, "unblocked"))

    def statuses(self, *task_ids: str) -> list[str]:
        """Return the statuses of some tasks."""
        return [str(self.task(task_id).status) for task_id in task_ids]

    def free(self, name: str = "cpu") -> float:
        """Return what is free on the node."""
        (node,) = self.ask(q.ListNodes(), ADMIN)["nodes"]
        return float(node["free"][name])
