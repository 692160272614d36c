"""The plane: ports.ControlPlane for all processes but the master's, over the given links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.orders.kind import Data
from helix_ray.core.questions import QuestionKind, View
from helix_ray.plane.batching import OrderBatches, QuestionBatches
from helix_ray.plane.calls import AnswerTimeouts, Calls
from helix_ray.plane.deliveries import deliveries_of
from helix_ray.plane.history import ArchivedTasks
from helix_ray.plane.host_history import host_history
from helix_ray.plane.keys import keyed
from helix_ray.plane.links import Links
from helix_ray.plane.nodes import OnNodes
from helix_ray.plane.proofs import proof_of
from helix_ray.plane.read_cache import ReadCache
from helix_ray.plane.synced import Synced
from helix_ray.ports import Batch


class Plane:
    """One caller's control plane; bound to the event loop that uses it first."""

    def __init__(
        self,
        links: Links,
        *,
        cached: bool = False,
        patience: AnswerTimeouts | None = None,
        linked: Callable[[], None] = lambda: None,
        sync_shards: int = 1,
    ) -> None:
        """`cached`: answer reads of tasks from a cache while the entries are known to be current; `linked` is
        called before every attempt to connect to the master; `sync_shards` is how many SyncDevices actors
        there are."""
        self._cache = ReadCache() if cached else None
        self.calls = Calls(links, self._cache, patience, linked)
        self._orders = OrderBatches(self.calls)
        self._questions = QuestionBatches(self.calls)
        self._archived = ArchivedTasks(self.calls)
        self._on_nodes = OnNodes(self.query, self.calls)
        self._synced = Synced(self.query, self.calls, sync_shards)

    async def execute(self, order: Order[Data]) -> Receipt[Data] | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        answer = await self._archived.carried_out(keyed(order), self._orders.execute)
        return cast("Receipt[Data] | Rejected", answer)

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected:
        """Answer a question from the master, the history, a node, a SyncDevices actor or the notifier; it is
        as of the call, or later."""
        return cast("View | Rejected", await self._answer(question, by, wait_s))

    async def _answer(self, question: QuestionKind[Any], by: Principal, wait_s: float) -> Answer:
        if question.of_node:
            return await self._on_nodes.answer(question, by, wait_s)
        if question.of_sync:
            return await self._synced.answer(question, by, wait_s)
        if question.of_notifier:
            return await deliveries_of(self.query, self.calls, question, by)
        if question.of_journal:
            return await proof_of(self.query, self.calls, question, by)
        if question.of_hosts:
            return await host_history(self.query, self.calls, cast("Any", question), by)
        if self._cache is not None and question.cached:
            return await self._cached(self._cache, question, by)
        reply: Any
        if wait_s > 0 or question.travels_alone:
            reply = await self.calls.master("query", question, by, wait_s, wait_s=wait_s)
        else:
            _, reply = await self._questions.ask(question, by)
        reply = await self._archived.completed(question, by, reply)
        if question.kept_on_nodes and not isinstance(reply, Rejected):
            return await self._on_nodes.with_kept(question, reply)
        return cast("Answer", reply)

    async def _cached(self, cache: ReadCache, question: Any, by: Principal) -> Answer:
        answer: Answer | None = cache.task(question.task_id, by)
        if answer is None:
            generation = cache.generation()
            seq, answer = await self._questions.ask(question, by)
            if isinstance(answer, Rejected):
                answer = await self._archived.completed(question, by, answer)
            else:
                cache.keep(question.task_id, answer, seq, generation)
        return answer

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, *, abouts: bool = False
    ) -> Batch:
        """Return the facts after a cursor that `by` may see; raises Refused when `by` does not exist any more
        (UNAUTHORIZED), or when the master stays away (SERVICE_UNAVAILABLE)."""
        batch: Batch | Rejected = await self.calls.master(
            "events", after, limit, by, wait_s, abouts, wait_s=wait_s
        )
        if isinstance(batch, Rejected):
            raise Refused(batch)
        return batch

    async def aclose(self) -> None:
        """Close the link to the master without waiting for calls under way; safe to call twice."""
        self.calls.close()
        # The loop closes the socket in its next iteration.
        await asyncio.sleep(0)
