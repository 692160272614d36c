"""GET /tasks/{id}/result?wait_s= answers as soon as the task ends."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import AttemptReport, Heartbeat, Order, Receipt, RegisterWorker, ReportAttempts
from helix_ray.core.questions import GetResult, Question, WorkFor
from helix_ray.plane.nodes import OnNodes
from helix_ray.testing import MemoryControlPlane, memory_plane
from tests.http.api_server import PASSWORD, Api, error_of, serving_api

NODE = "worker-node1"
AWAY = {"success": True, "stored": "object_store", "bytes": 99}


def test_a_result_is_waited_for(api: Api, admin: httpx.Client) -> None:
    """A task that ends while its result is waited for is answered then, and not at the end of the wait."""
    task_id = api.submit(admin)
    answers: list[httpx.Response] = []
    waiter = threading.Thread(
        target=lambda: answers.append(admin.get(f"/tasks/{task_id}/result", params={"wait_s": 20}))
    )
    waiter.start()
    assert admin.put(f"/tasks/{task_id}", json={"status": "completed", "result": 7}).status_code == 200
    waiter.join(15)
    assert answers[0].json()["result"] == 7


def test_a_wait_that_ends_first_is_a_conflict(api: Api, admin: httpx.Client) -> None:
    """After the wait an unfinished task has no result, as without one."""
    error_of(admin.get(f"/tasks/{api.submit(admin)}/result", params={"wait_s": 0.05}), 409, "CONFLICT")


@pytest.mark.parametrize("wait_s", ["-1", "26", "nan", "soon"])
def test_a_wait_has_bounds(api: Api, admin: httpx.Client, wait_s: str) -> None:
    """Waits are 0 to 25 seconds."""
    error_of(
        admin.get(f"/tasks/{api.submit(admin)}/result", params={"wait_s": wait_s}), 400, "VALIDATION_ERROR"
    )


class ResultsOnNodes:
    """A control plane whose node has the results that the state has references of."""

    def __init__(self, plane: MemoryControlPlane) -> None:
        self._plane = plane
        self._nodes = OnNodes(self.query, self)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)

    async def execute(self, order: Order) -> Receipt | Rejected:
        return await self._plane.execute(order)

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer | Rejected:
        answer = await self._plane.query(question, by, wait_s)
        if isinstance(question, GetResult) and not isinstance(answer, Rejected):
            return await self._nodes.with_kept(question, answer)
        return answer

    async def node(self, node_id: str, method: str, task_id: str, attempt: int, wait_s: float = 0.0) -> Any:
        assert (node_id, method, attempt) == ("n1", "fetch_result", 1)
        return {"success": True, "value": f"of {task_id}"}


def run_shards(plane: MemoryControlPlane) -> None:
    """Complete what the node has, with references to results."""
    plane.give(Heartbeat(NODE, boot="boot"))
    work = plane.ask(WorkFor(NODE, "boot", 0, 0), SYSTEM)
    assert not isinstance(work, Rejected)
    reports = [AttemptReport(each["task_id"], each["attempt"], "completed", AWAY) for each in work["assign"]]
    plane.give(ReportAttempts(NODE, "boot", tuple(reports)))


def test_large_results_of_shards_are_values_after_a_wait() -> None:
    """What stayed on nodes is fetched for the parent as well, whether its end was waited for or not."""
    plane = memory_plane(Settings(), PASSWORD, None)
    offer = {"cpu": 4.0, "memory_mb": 1024.0}
    plane.give(RegisterWorker("node1", (), offer, worker_id=NODE, kind="node", node_id="n1", boot="boot"))
    with serving_api(plane=plane, control=ResultsOnNodes(plane)) as api:
        admin = api.client()
        run = {"kind": "function", "function": "helix_ray.samples:echo", "args": [1]}
        task_id = api.submit(admin, run=run, shards=2)
        run_shards(plane)
        values = [{"success": True, "value": f"of {task_id}-s{index}"} for index in range(2)]
        for wait in ({"wait_s": 5}, {}):
            result = admin.get(f"/tasks/{task_id}/result", params=wait).json()["result"]
            assert [
                {"success": part["success"], "value": part["value"]} for part in result["shards"]
            ] == values
