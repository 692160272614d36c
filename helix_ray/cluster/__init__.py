"""The Python API inside Ray jobs: `import helix_ray as hx; cluster = hx.connect()`.

This is the one file of helix_ray that imports Ray, and only once `connect` is called.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

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
from helix_ray.core.access import Principal
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.questions import Question, ReadLog
from helix_ray.elsewhere import UNKNOWN, Elsewhere, Unavailable
from helix_ray.ports import NotReady

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
# How long the other actors are waited for, beside the time that a call waits by itself.
ASK_S_MAX = 4.0

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
        self._elsewhere = Elsewhere(self)

    async def execute(self, orders: Sequence[Order]) -> list[Receipt | Rejected]:
        """Carry out orders; one whose dependencies cannot be looked up now is refused by itself."""
        settled = [await self._settled(order) for order in orders]
        ready = [order for order in settled if isinstance(order, Order)]
        answers: list[Receipt | Rejected] = []
        if ready:
            answers = await self._call(lambda master: master.execute_batch.remote(ready))
        left = iter(answers)
        return [next(left) if isinstance(order, Order) else order for order in settled]

    async def _settled(self, order: Order) -> Order | Rejected:
        return (
            await self._elsewhere.settled(order, order.body) if isinstance(order.body, SubmitTasks) else order
        )

    async def query(self, question: Question, wait_s: float = 0.0) -> Answer:
        """Answer a question from the master, the history or the node that knows."""
        if isinstance(question, ReadLog):
            return await self._elsewhere.read_log(question, IN_CLUSTER, wait_s)
        return await self.master(question, IN_CLUSTER, wait_s)

    async def stored(self, worker_id: str, task_id: str, attempt: int) -> dict[str, Any] | None:
        """Return a large result from the node worker that keeps it."""
        kept = await self._elsewhere.kept_result(worker_id, task_id, attempt)
        if isinstance(kept, Unavailable):
            raise ClusterUnavailable(kept.rejected().message)
        return None if kept is UNKNOWN else kept

    # What Elsewhere asks: see its Sources.

    async def master(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Ask the master, and the history for what has left its memory."""
        answer: Answer = await self._call(lambda master: master.query.remote(question, by, wait_s), wait_s)
        return await self._elsewhere.with_history(question, by, answer)

    async def history(self, method: str, *arguments: Any) -> dict[str, Any] | Unavailable | None:
        """Call the historian."""
        return await self._ask("history", HISTORIAN, method, arguments, ASK_S_MAX)

    async def node(
        self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0
    ) -> dict[str, Any] | Unavailable | None:
        """Call a node's worker."""
        name = NODE_WORKER + node_id[:NODE_ID_CHARACTERS]
        return await self._ask("node", name, method, arguments, ASK_S_MAX + wait_s)

    # ------------------------------------------------------------------------------------- Ray

    async def _call(self, send: Callable[[Any], Awaitable[T | NotReady]], wait_s: float = 0.0) -> T:
        """Call the master until it answers; raise ClusterUnavailable when it has not for RESEND_S seconds."""
        from ray.exceptions import RayError, RayTaskError

        ends_at = time.monotonic() + RESEND_S
        while True:
            try:
                async with asyncio.timeout(max(ends_at - time.monotonic(), ASK_S_MAX) + wait_s):
                    if self._master is None:
                        self._master = await self._find(MASTER)
                    answer = await send(self._master)
                if not isinstance(answer, NotReady):
                    return answer
                if time.monotonic() >= ends_at:
                    raise ClusterUnavailable(f"the control plane is not ready: {answer.reason}")
                await asyncio.sleep(RESEND_EVERY_S)
            except RayTaskError as error:
                # It answered, with a bug of ours: sending it again would meet the same one.
                raise ClusterError(f"the control plane failed on a call: {error}") from error
            except (RayError, ValueError, TimeoutError) as error:
                self._master = None
                if time.monotonic() >= ends_at:
                    raise ClusterUnavailable(f"the control plane does not answer: {error}") from error
                await asyncio.sleep(RESEND_EVERY_S)

    async def _ask(
        self,
        who: Literal["history", "node"],
        name: str,
        method: str,
        arguments: tuple[Any, ...],
        limit_s: float,
    ) -> dict[str, Any] | Unavailable | None:
        """Call another actor until it answers; Unavailable when it has not for `limit_s` seconds."""
        from ray.exceptions import RayError, RayTaskError

        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        call = getattr(await self._find(name), method)
                        answer: dict[str, Any] | Unavailable | None = await call.remote(*arguments)
                    except RayTaskError:
                        return Unavailable(who, "it failed on the question")
                    except (RayError, ValueError):
                        await asyncio.sleep(RESEND_EVERY_S)
                    else:
                        return answer
        except TimeoutError:
            return Unavailable(who)

    async def _find(self, name: str) -> Any:
        """Return the handle of a named actor; raises ValueError where there is none."""
        import ray

        return await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
