"""The doors to one control plane, with the same operations and answers: the port itself,
HTTP, and the Python API.

Each operation returns the model's word for what was answered (task_model.py), None where nothing was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import httpx

import helix_ray as hx
from helix_ray.cluster.api import Cluster
from helix_ray.core.access import Principal, inside
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import (
    CancelTask,
    DeleteTask,
    Heartbeat,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    RetryTask,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import GetResult, GetTask, ListTasks, PlanTask, Question, ReadLog, WaitTasks
from helix_ray.plane.distribution import distribute
from helix_ray.ports import ControlPlane
from helix_ray.wire.ids import new_seed

Json = dict[str, Any]
PAGE = 500
INSIDE = inside("job:crowd")


class Door(Protocol):
    """One client's way in; a worker speaks through the doors of one author."""

    name: str
    author: str

    async def create(self, specs: Sequence[Json], key: str) -> list[str] | None:
        """Submit tasks in one go; return their ids."""
        ...

    async def get(self, task_id: str) -> str | None:
        """Read a task."""
        ...

    async def result(self, task_id: str) -> str | None:
        """Read a result."""
        ...

    async def wait(self, task_id: str, wait_s: float) -> str | None:
        """Read a result, waiting for it."""
        ...

    async def log(self, task_id: str) -> str | None:
        """Read a log: "eof" where nothing can follow."""
        ...

    async def listed(self, project: str) -> dict[str, str] | None:
        """Return the statuses of a project's tasks by id."""
        ...

    async def put(self, task_id: str, status: str) -> str | None:
        """Set a status."""
        ...

    async def cancel(self, task_id: str) -> str | None:
        """Cancel a task."""
        ...

    async def retry(self, task_id: str) -> str | None:
        """Queue a task again."""
        ...

    async def delete(self, task_id: str) -> str | None:
        """Forget a task."""
        ...

    async def distribute(self, task_id: str) -> str | None:
        """Start a task now: "ok", "already", or "no room"."""
        ...

    async def register(self, hostname: str, capability: str) -> str | None:
        """Register a worker outside; return its id."""
        ...

    async def heartbeat(self, worker_id: str) -> tuple[str, int] | str | None:
        """Ask for work: the task and its attempt, or "nothing"."""
        ...

    async def report(self, worker_id: str, task_id: str, attempt: int) -> str | None:
        """Report that an attempt is completed."""
        ...


def said(answer: Json | Receipt | Rejected, word: str = "ok") -> str | None:
    """Return the word for an answer of the port."""
    if not isinstance(answer, Rejected):
        return word
    if answer.code is ErrorCode.SERVICE_UNAVAILABLE:
        return None
    return {"NOT_FOUND": "missing", "CONFLICT": "conflict"}.get(answer.code, str(answer))


class PortDoor:
    """Orders and questions, put to any ControlPlane."""

    def __init__(self, name: str, plane: ControlPlane, by: Principal = INSIDE) -> None:
        self.name = name
        self.author = by.id
        self.plane = plane
        self.by = by

    async def execute(self, body: OrderBody, key: str | None = None) -> Receipt | Rejected:
        seed = new_seed()
        return await self.plane.execute(Order(body, self.by, f"req-{seed}", seed, key, key or ""))

    async def query(self, question: Question, wait_s: float = 0.0) -> Json | Rejected:
        return await self.plane.query(question, self.by, wait_s)

    async def create(self, specs: Sequence[Json], key: str) -> list[str] | None:
        answer = await self.execute(SubmitTasks(tuple(specs)), f"{self.by.id}:{key}")
        if isinstance(answer, Rejected):
            assert said(answer) is None, answer
            return None
        assert not answer.data["rejected"], answer.data["rejected"]
        seed = answer.data["seed"]
        return [f"task-{seed}" if len(specs) == 1 else f"task-{seed}-{i}" for i in range(len(specs))]

    async def get(self, task_id: str) -> str | None:
        answer = await self.query(GetTask(task_id))
        return said(answer) if isinstance(answer, Rejected) else str(answer["status"])

    async def result(self, task_id: str) -> str | None:
        return _result(await self.query(GetResult(task_id)))

    async def wait(self, task_id: str, wait_s: float) -> str | None:
        return _waited(await self.query(WaitTasks((task_id,)), wait_s))

    async def log(self, task_id: str) -> str | None:
        return _log(await self.query(ReadLog(task_id)))

    async def listed(self, project: str) -> dict[str, str] | None:
        answer = await self.query(ListTasks(project_id=project, limit=PAGE))
        return None if isinstance(answer, Rejected) else _page(answer)

    async def put(self, task_id: str, status: str) -> str | None:
        return said(await self.execute(UpdateTask(task_id, status=status)))

    async def cancel(self, task_id: str) -> str | None:
        return said(await self.execute(CancelTask(task_id)))

    async def retry(self, task_id: str) -> str | None:
        return said(await self.execute(RetryTask(task_id)))

    async def delete(self, task_id: str) -> str | None:
        return said(await self.execute(DeleteTask(task_id)))

    async def distribute(self, task_id: str) -> str | None:
        def envelope(body: OrderBody) -> Order:
            seed = new_seed()
            return Order(body, self.by, f"req-{seed}", seed)

        answer = await distribute(self.plane, self.by, PlanTask(task_id), envelope)
        return said(answer) if isinstance(answer, Rejected) else _placed(answer[0])

    async def register(self, hostname: str, capability: str) -> str | None:
        answer = await self.execute(RegisterWorker(hostname, (capability,), {"cpu": 1.0}))
        return None if isinstance(answer, Rejected) else str(answer.data["worker_id"])

    async def heartbeat(self, worker_id: str) -> tuple[str, int] | str | None:
        answer = await self.execute(Heartbeat(worker_id, "idle"))
        return None if isinstance(answer, Rejected) else _given(answer.data)

    async def report(self, worker_id: str, task_id: str, attempt: int) -> str | None:
        body = UpdateTask(task_id, status="completed", progress=100.0, attempt=attempt, worker_id=worker_id)
        return said(await self.execute(body))


class HxDoor(PortDoor):
    """The Python API: its sugar where it has some, and `order` and `ask` beneath it."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.author = "the job"
        self.cluster = cluster
        self.by = INSIDE

    async def execute(self, body: OrderBody, key: str | None = None) -> Receipt | Rejected:
        return await self._called(self.cluster.order, body)

    async def query(self, question: Question, wait_s: float = 0.0) -> Json | Rejected:
        return await self._called(self.cluster.ask, question, wait_s)

    async def get(self, task_id: str) -> str | None:
        answer = await self._called(self.cluster.handle(task_id).view)
        return said(answer) if isinstance(answer, Rejected) else str(answer["status"])

    async def cancel(self, task_id: str) -> str | None:
        # False: it had ended. Cancelled already is no conflict, and True.
        answer = await self._called(self.cluster.handle(task_id).cancel)
        return said(answer) if isinstance(answer, Rejected) else "ok" if answer else "conflict"

    async def distribute(self, task_id: str) -> str | None:
        answer = await self._called(self.cluster.distribute, task_id)
        return said(answer) if isinstance(answer, Rejected) else _placed(answer)

    async def _called(self, call: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(call, *arguments)
        except Refused as refused:
            return refused.rejected
        except hx.ClusterUnavailable as away:
            return Rejected(ErrorCode.SERVICE_UNAVAILABLE, str(away), {})


class HttpDoor:
    """REST, on a connection of its own for as long as that lasts."""

    def __init__(self, name: str, client: httpx.AsyncClient) -> None:
        self.name = name
        self.author = "the user"
        self._client = client

    async def _call(
        self, method: str, path: str, body: Any = None, key: str | None = None, **query: Any
    ) -> tuple[int, Json]:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = await self._client.request(method, path, json=body, headers=headers, params=query)
        except httpx.TransportError:
            return 0, {}
        if "application/json" not in answer.headers.get("content-type", ""):
            return answer.status_code, {}
        found: Json = answer.json()
        return answer.status_code, found

    async def _said(self, method: str, path: str, body: Any = None, key: str | None = None) -> str | None:
        return _word(*await self._call(method, path, body, key))

    async def create(self, specs: Sequence[Json], key: str) -> list[str] | None:
        status, found = await self._call("POST", "/tasks/batch", {"tasks": list(specs)}, key)
        if status == 0 or status >= 500:
            return None
        assert status == 201, found
        return [task["id"] for task in found["tasks"]]

    async def get(self, task_id: str) -> str | None:
        status, found = await self._call("GET", f"/tasks/{task_id}")
        return str(found["status"]) if status == 200 else _word(status, found)

    async def result(self, task_id: str, wait_s: float = 0.0) -> str | None:
        query = {"wait_s": wait_s} if wait_s else {}
        status, found = await self._call("GET", f"/tasks/{task_id}/result", **query)
        return "open" if status == 409 else str(found["status"]) if status == 200 else _word(status, found)

    async def wait(self, task_id: str, wait_s: float) -> str | None:
        return await self.result(task_id, wait_s)

    async def log(self, task_id: str) -> str | None:
        try:
            answer = await self._client.get(f"/tasks/{task_id}/logs", headers={"Accept": "application/json"})
        except httpx.TransportError:
            return None
        found: Json = answer.json()
        if answer.status_code != 200:
            return _word(answer.status_code, found)
        return "eof" if found["eof"] else "more"

    async def listed(self, project: str) -> dict[str, str] | None:
        status, found = await self._call("GET", "/tasks", project_id=project, limit=PAGE)
        return _page(found) if status == 200 else None

    async def put(self, task_id: str, status: str) -> str | None:
        return await self._said("PUT", f"/tasks/{task_id}", {"status": status})

    async def cancel(self, task_id: str) -> str | None:
        return await self._said("POST", f"/tasks/{task_id}/cancel", {})

    async def retry(self, task_id: str) -> str | None:
        return await self._said("POST", f"/tasks/{task_id}/retry", {})

    async def delete(self, task_id: str) -> str | None:
        return await self._said("DELETE", f"/tasks/{task_id}")

    async def distribute(self, task_id: str) -> str | None:
        status, found = await self._call("POST", "/harmony/distribute", {"task_id": task_id})
        return _placed(found) if status == 200 else _word(status, found)

    async def register(self, hostname: str, capability: str) -> str | None:
        body = {"hostname": hostname, "capabilities": [capability], "resources": {"cpu": 1}}
        status, found = await self._call("POST", "/workers/register", body)
        return str(found["worker_id"]) if status in (200, 201) else None

    async def heartbeat(self, worker_id: str) -> tuple[str, int] | str | None:
        beat = {"worker_id": worker_id, "status": "idle", "current_task": None}
        status, found = await self._call("POST", "/workers/heartbeat", beat)
        return _given(found) if status == 200 else None

    async def report(self, worker_id: str, task_id: str, attempt: int) -> str | None:
        body = {"status": "completed", "progress": 100, "attempt": attempt, "worker_id": worker_id}
        return await self._said("PUT", f"/tasks/{task_id}", body)


def _word(status: int, found: Json) -> str | None:
    if status == 0 or status >= 500:
        return None
    return "ok" if status < 300 else {404: "missing", 409: "conflict"}.get(status, f"{status} {found}")


def _result(answer: Json | Rejected) -> str | None:
    if not isinstance(answer, Rejected):
        return str(answer["status"])
    return "open" if said(answer) == "conflict" else said(answer)


def _waited(answer: Json | Rejected) -> str | None:
    if isinstance(answer, Rejected):
        return said(answer)
    if answer["done"]:
        return str(answer["done"][0]["status"])
    if answer.get("unavailable"):
        return None
    return "missing" if answer["unknown"] else "open"


def _log(answer: Json | Rejected) -> str | None:
    return said(answer) if isinstance(answer, Rejected) else "eof" if answer["eof"] else "more"


def _page(page: Json) -> dict[str, str]:
    lines = page["tasks"]
    assert len(lines) == len({line["id"] for line in lines}), "a task is listed twice"
    return {line["id"]: str(line["status"]) for line in lines}


def _placed(answer: Json) -> str:
    return "already" if answer["already_running"] else "ok" if answer["distributed"] else "no room"


def _given(data: Json) -> tuple[str, int] | str:
    task_id = data.get("assigned_task")
    return (str(task_id), int(data["attempt"])) if task_id else "nothing"
