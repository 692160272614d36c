"""The Python API inside Ray jobs: `import helix_ray as hx; cluster = hx.connect()`.

This is the one file of helix_ray that imports Ray, and only once `connect` is called.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from helix_ray.cluster import local
from helix_ray.cluster.api import Cluster
from helix_ray.cluster.errors import (
    ClusterError,
    ClusterUnavailable,
    PayloadTooLarge,
    ResultLostError,
    TaskCancelledError,
    TaskFailedError,
)
from helix_ray.cluster.functions import Function, function
from helix_ray.cluster.handles import Handle, as_completed, wait
from helix_ray.cluster.link import IN_CLUSTER, Answer
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.questions import GetResult, GetTask, GetWorker, Question, ReadLog, WaitTasks
from helix_ray.execution.log_reading import read_log

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterUnavailable",
    "Function",
    "Handle",
    "PayloadTooLarge",
    "Refused",
    "ResultLostError",
    "TaskCancelledError",
    "TaskFailedError",
    "as_completed",
    "connect",
    "function",
    "wait",
]

T = TypeVar("T")

NAMESPACE = "helix"
# A master that was killed is back in about two seconds; a head node takes longer.
RESEND_S = 60.0
RESEND_EVERY_S = 0.1

# Names that the actors are found by (actors/names.py, which this ring must not import).
MASTER = "helix-master"
HISTORIAN = "helix-historian"
NODE_WORKER = "helix-node-"
NODE_ID_CHARACTERS = 12


def connect(namespace: str = NAMESPACE, address: str | None = None) -> Cluster:
    """Connect to the Helix Ray of the Ray cluster that this process belongs to, or of the one at `address`.

    Outside of a Ray cluster that is the one of `helix up` on this machine (HELIX_DATA_DIR, else ~/.helix-ray). Raises ClusterUnavailable where there is no Ray cluster, or no Helix Ray in it.
    """
    if address is None and "ray" not in sys.modules:
        os.environ |= local.ray_environment(os.environ)
    import ray

    if not ray.is_initialized():
        try:
            ray.init(address=address or "auto")
        except ConnectionError as error:
            raise ClusterUnavailable(f"no Ray cluster to connect to: {error}") from error
    try:
        ray.get_actor(MASTER, namespace=namespace)
    except ValueError:
        message = f"no Helix Ray runs in this Ray cluster (namespace {namespace}); start it with: helix up"
        raise ClusterUnavailable(message) from None
    return Cluster(RayLink(namespace))


class RayLink:
    """cluster.link.Link over Ray. Calls to the master are sent again while it starts again; ids make that safe."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._master: Any = None

    async def execute(self, orders: Sequence[Order]) -> list[Receipt | Rejected]:
        """Carry out orders."""
        return await self._call(lambda master: master.execute_batch.remote(orders))

    async def query(self, question: Question, wait_s: float = 0.0) -> Answer:
        """Answer a question from the master, the history or the node that knows."""
        if isinstance(question, ReadLog):
            return await self._read_log(question, wait_s)
        answer: Answer = await self._call(lambda master: master.query.remote(question, IN_CLUSTER, wait_s))
        return await self._with_history(question, answer)

    async def stored(self, worker_id: str, task_id: str, attempt: int) -> dict[str, Any] | None:
        """Return a large result from the node worker that keeps it."""
        name = await self._node_worker_of(worker_id)
        return await self._ask(name, lambda node: node.fetch_result.remote(task_id, attempt))

    async def _with_history(self, question: Question, answer: Answer) -> Answer:
        """Complete an answer with what has left the master's memory."""
        if isinstance(answer, Rejected):
            if answer.code is ErrorCode.NOT_FOUND and isinstance(question, GetTask | GetResult):
                found = await self._ask(HISTORIAN, lambda history: history.find.remote(question, IN_CLUSTER))
                return found or answer
        elif isinstance(question, WaitTasks) and answer["unknown"]:
            found = await self._ask(HISTORIAN, lambda history: history.wait.remote(IN_CLUSTER, answer))
            return found or answer
        return answer

    async def _read_log(self, question: ReadLog, wait_s: float) -> Answer:
        task = await self.query(GetTask(question.task_id))
        if isinstance(task, Rejected):
            return task
        worker_id = str(task["assigned_worker"])

        async def read(attempt: int) -> Answer | None:
            pieces = (question.task_id, attempt, question.offset, question.limit_bytes)
            name = await self._node_worker_of(worker_id)
            piece: Answer | None = await self._ask(name, lambda node: node.read_log.remote(*pieces, wait_s))
            if piece is None:
                # A cluster that was started again has other nodes, but their machine has the same files.
                piece = await self._ask(HISTORIAN, lambda history: history.read_log.remote(*pieces))
            return piece

        return await read_log(question, task, read, wait_s)

    async def _call(self, send: Callable[[Any], Awaitable[T]]) -> T:
        """Call the master until it answers; raise ClusterUnavailable when it has not for RESEND_S seconds."""
        from ray.exceptions import RayError, RayTaskError

        ends_at = time.monotonic() + RESEND_S
        while True:
            try:
                if self._master is None:
                    self._master = await self._find(MASTER)
                return await send(self._master)
            except RayTaskError as error:
                # It answered, with a bug of ours: sending it again would meet the same one.
                raise ClusterError(f"the control plane failed on a call: {error}") from error
            except (RayError, ValueError) as error:
                self._master = None
                if time.monotonic() >= ends_at:
                    raise ClusterUnavailable(f"the control plane does not answer: {error}") from error
                await asyncio.sleep(RESEND_EVERY_S)

    async def _node_worker_of(self, worker_id: str) -> str | None:
        """Return the actor that a worker is now: its id outlives its node's actor."""
        worker = await self.query(GetWorker(worker_id))
        return None if isinstance(worker, Rejected) else NODE_WORKER + worker["node_id"][:NODE_ID_CHARACTERS]

    async def _ask(self, name: str | None, send: Callable[[Any], Awaitable[T]]) -> T | None:
        """Call another actor once; None when it is not there."""
        if name is None:
            return None
        from ray.exceptions import RayError

        try:
            return await send(await self._find(name))
        except (RayError, ValueError):
            return None

    async def _find(self, name: str) -> Any:
        """Return the handle of a named actor; raises ValueError where there is none."""
        import ray

        return await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
