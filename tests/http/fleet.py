"""Nodes for the API in memory: they hold what they are given until a test ends it. Time
stands until it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import AttemptReport, Heartbeat, LoseWorker, RegisterWorker, ReportAttempts
from helix_ray.testing import ManualClock
from helix_ray.wire.placement import DistributeOut, ExplainOut
from tests.http.api_server import Api, serving_api
from tests.http.shapes import shaped

BOOT = "boot"
COMMAND: dict[str, Any] = {"kind": "command", "argv": ["true"]}


class Fleet:
    """A running API, its administrator, its clock, and its nodes."""

    def __init__(self, api: Api, clock: ManualClock) -> None:
        self.api = api
        self.clock = clock
        self.admin = api.client()

    def node(
        self,
        name: str,
        cpu: float = 4.0,
        *,
        capabilities: tuple[str, ...] = (),
        labels: dict[str, str] | None = None,
        boot: str = BOOT,
        **resources: float,
    ) -> str:
        """Register a node; return its worker id."""
        amounts = {"cpu": cpu, **resources}
        worker_id = f"worker-{name}"
        body = RegisterWorker(
            name,
            capabilities,
            amounts,
            worker_id=worker_id,
            kind="node",
            node_id=name,
            boot=boot,
            labels=labels or {},
        )
        self.api.plane.give(body, SYSTEM)
        return worker_id

    def beat(self, worker_id: str, **usage: Any) -> None:
        """Have a node tell what it measured."""
        self.api.plane.give(Heartbeat(worker_id, usage=usage, boot=BOOT), SYSTEM)

    def lose(self, worker_id: str) -> None:
        """Have a node go away."""
        self.api.plane.give(LoseWorker(worker_id, "gone"), SYSTEM)

    def submit(self, client: httpx.Client | None = None, **fields: Any) -> str:
        """Submit a task for nodes."""
        return self.api.submit(client or self.admin, **{"run": COMMAND, **fields})

    def manual(self, **fields: Any) -> str:
        """Submit a task that waits to be distributed."""
        return self.submit(strategy="manual", **fields)

    def end(self, task_id: str, outcome: str = "completed", **fields: Any) -> None:
        """Have the node that runs a task report its end."""
        task = self.api.plane.engine.state.tasks[task_id]
        assert task.worker is not None, task.status
        report = AttemptReport(task_id, task.attempt, outcome, **fields)
        self.api.plane.give(ReportAttempts(task.worker, BOOT, (report,)), SYSTEM)

    def get(self, task_id: str) -> dict[str, Any]:
        """Return a task."""
        task: dict[str, Any] = self.admin.get(f"/tasks/{task_id}").json()
        return task

    def distribute(self, task_id: str, **fields: Any) -> dict[str, Any]:
        """Distribute a task; return the answer, which has the documented form."""
        answer = self.admin.post("/harmony/distribute", json={"task_id": task_id, **fields})
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        shaped(DistributeOut, content)
        return content

    def explain(self, task_id: str) -> dict[str, Any]:
        """Return an explanation, which has the documented form."""
        answer = self.admin.get(f"/tasks/{task_id}/explain")
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        shaped(ExplainOut, content)
        return content


@contextmanager
def serving_fleet(settings: Settings | None = None) -> Iterator[Fleet]:
    """Serve an API without nodes until the block ends."""
    clock = ManualClock()
    with serving_api(settings, clock=clock) as api:
        yield Fleet(api, clock)
