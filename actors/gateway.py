"""The control plane over Ray: what HTTP routes, node workers and followers hold instead of the master's handle.

Orders that arrive while a call is under way travel together in the next one. A master that dies in the middle is
back within seconds: the same orders are sent again until RESEND_S have passed, and because their ids and keys are
made here once, an order that was carried out before the crash is recognised. Ray's errors end here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from ray.exceptions import RayError, RayTaskError

from actors import names
from actors.life import NotReady
from actors.local_link import CallFailed, LinkLost, LocalLink, RayLink
from actors.read_cache import ReadCache
from actors.turn_meter import TurnMeter
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.shards import shard_id
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import (
    CancelTask,
    ChangePassword,
    ChangeRoles,
    CloseSession,
    CreateUser,
    DeleteTask,
    DistributeTask,
    DrainWorker,
    OpenSession,
    Order,
    Receipt,
    RefreshSession,
    RegisterWorker,
    RemoveUser,
    RetryTask,
    SetQuota,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import (
    ExplainTask,
    GetResult,
    GetTask,
    GetWorker,
    ListNodes,
    ListTasks,
    PlanTask,
    Question,
    ReadLog,
    WaitTasks,
)
from helix_ray.core.weight import LIGHT_TASKS_MAX, weight_of
from helix_ray.execution.log_reading import read_log
from helix_ray.ports import Batch

log = logging.getLogger(__name__)

T = TypeVar("T")
Answer = dict[str, Any] | Rejected
# An order, who waits for its answer, and its weight.
Waiting = tuple[Order, asyncio.Future[Receipt | Rejected], int]

RESEND_S = 60.0
RESEND_EVERY_S = 0.1
# Calls on their way to the master at once; more orders than that wait and travel together.
CALLS_UNDER_WAY_MAX = 2
# In weight (helix_ray/core/weight.py).
CALL_TASKS_MAX = 500
# Orders whose second execution would not be recognised by itself get a key of ours.
NEEDS_KEY = (
    UpdateTask, CancelTask, RetryTask, DeleteTask, RegisterWorker, DrainWorker, CreateUser, RemoveUser, ChangeRoles,
    ChangePassword, OpenSession, RefreshSession, CloseSession, DistributeTask, SetQuota,
)  # fmt: skip
# Questions whose answers may take long: they travel alone, so that nobody's short one waits for them.
LONG = (ListTasks, WaitTasks, ListNodes, ExplainTask, PlanTask)
UNAVAILABLE = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not answer", {"retry_after_s": 5}
)
NOT_READY_AGAIN_S = 2


class RayControlPlane:
    """ports.ControlPlane over the master's handle; make it on the event loop that uses it."""

    def __init__(self, *, cached: bool = False, process: str = "") -> None:
        """`process` names the kind of process whose turns are told to the master; without it none are measured."""
        self._meter = TurnMeter(process) if process else None
        self._link: LocalLink | RayLink | None = None
        self._linking = asyncio.Lock()
        # Orders that touch few tasks do not wait behind a bulk submit.
        self._light: list[Waiting] = []
        self._heavy: list[Waiting] = []
        self._under_way = 0
        self._questions: list[tuple[Question, Principal, asyncio.Future[tuple[int, Answer]]]] = []
        self._asking = 0
        self._running: set[asyncio.Task[None]] = set()
        self.cache = ReadCache(self._changes) if cached else None

    # ------------------------------------------------------------------------------------- the verbs

    async def execute(self, order: Order) -> Receipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        if order.key is None and isinstance(order.body, NEEDS_KEY):
            order = replace(order, key=f"~{order.seed}", fingerprint=order.seed)
        if isinstance(order.body, SubmitTasks):
            order = await self._with_settled(order, order.body)
        future: asyncio.Future[Receipt | Rejected] = asyncio.get_running_loop().create_future()
        weight = weight_of(order)
        (self._light if weight <= LIGHT_TASKS_MAX else self._heavy).append((order, future, weight))
        self._send_orders()
        answer = await future
        if self.cache is not None and isinstance(answer, Receipt):
            self.cache.wrote(getattr(order.body, "task_id", None), answer.seq)
        return answer

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Answer a question from the cache, the master, the history or the node that knows."""
        if isinstance(question, ReadLog):
            return await self._read_log(question, by, wait_s)
        if self.cache is not None and isinstance(question, GetTask):
            known = self.cache.task(question.task_id, by)
            if known is not None:
                return known
        if wait_s > 0 or isinstance(question, LONG):
            reply: Answer = await self._call("query", (question, by, wait_s), lambda refusal: refusal)
        else:
            seq, reply = await self._ask(question, by)
            if self.cache is not None and isinstance(question, GetTask) and not isinstance(reply, Rejected):
                self.cache.keep(question.task_id, reply, seq)
        return await self._with_history(question, by, reply)

    async def events(self, after: int, limit: int, wait_s: float = 0.0) -> Batch:
        """Return facts after a cursor; an empty batch while the master is away."""
        return await self._call("events", (after, limit, wait_s), lambda _: Batch((), after, after))

    async def aclose(self) -> None:
        """Let go of the master; what is under way is not waited for. Safe to call twice."""
        if self._meter is not None:
            self._meter.close()
        if self.cache is not None:
            self.cache.close()
        if isinstance(self._link, LocalLink):
            self._link.close()
            # The loop closes the socket in its next turn.
            await asyncio.sleep(0)
        self._link = None

    async def _tell(self, kind: str, process: str, report: dict[str, Any]) -> None:
        await self._call("take_turns", (kind, process, report), lambda _: None, resend_s=0.0)

    async def _changes(self, after: int, limit: int, wait_s: float) -> tuple[int, int, list[str]] | None:
        return await self._call("changes", (after, limit, wait_s), lambda _: None, resend_s=0.0)

    # ------------------------------------------------------------------------------------- batches

    def _send_orders(self) -> None:
        if (self._light or self._heavy) and self._under_way < CALLS_UNDER_WAY_MAX:
            self._under_way += 1
            self._spawn(self._carry(self._take_orders()))

    def _take_orders(self) -> list[Waiting]:
        """Take the orders of one call, the light ones first, and a heavy one where there is any."""
        taken: list[Waiting] = []
        room = CALL_TASKS_MAX
        for line in (self._light, self._heavy):
            count = 0
            while count < len(line) and (room > 0 or (line is self._heavy and not count)):
                room -= line[count][2]
                count += 1
            taken += line[:count]
            del line[:count]
        return taken

    async def _carry(self, batch: list[Waiting]) -> None:
        orders = [order for order, _, _ in batch]
        try:
            answers: list[Receipt | Rejected] = await self._call(
                "execute_batch", (orders,), lambda refusal: [refusal] * len(batch)
            )
        finally:
            self._under_way -= 1
        for (_, future, _), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        self._send_orders()

    async def _ask(self, question: Question, by: Principal) -> tuple[int, Answer]:
        future: asyncio.Future[tuple[int, Answer]] = asyncio.get_running_loop().create_future()
        self._questions.append((question, by, future))
        self._send_questions()
        return await future

    def _send_questions(self) -> None:
        if self._questions and self._asking < CALLS_UNDER_WAY_MAX:
            self._asking += 1
            batch, self._questions = self._questions, []
            self._spawn(self._put(batch))

    async def _put(self, batch: list[tuple[Question, Principal, asyncio.Future[tuple[int, Answer]]]]) -> None:
        pairs = [(question, by) for question, by, _ in batch]
        try:
            replies: list[Answer]
            seq, replies = await self._call(
                "query_batch", (pairs,), lambda refusal: (0, [refusal] * len(batch))
            )
        finally:
            self._asking -= 1
        for (_, _, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result((seq, reply))
        self._send_questions()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # ------------------------------------------------------------------------------------- Ray

    async def _call(
        self,
        method: str,
        arguments: tuple[Any, ...],
        otherwise: Callable[[Rejected], T],
        resend_s: float = RESEND_S,
    ) -> T:
        """Call the master until it answers; return what `otherwise` makes of the refusal when it has not for `resend_s`
        seconds, or as soon as it says why it cannot live."""
        end = time.monotonic() + resend_s
        while True:
            link = self._link
            try:
                if link is None:
                    link = await self._link_up()
                answer: T | NotReady = await link.call(method, *arguments)
            except (RayTaskError, CallFailed):
                log.exception("the master failed on a call")
                return otherwise(UNAVAILABLE)
            except (RayError, ValueError, LinkLost) as error:
                if self._link is link:
                    self._link = None
                if time.monotonic() >= end:
                    log.warning("the master does not answer: %s", error)
                    return otherwise(UNAVAILABLE)
            else:
                if not isinstance(answer, NotReady):
                    return answer
                if answer.reason is not None or time.monotonic() >= end:
                    return otherwise(_not_ready(answer))
            await asyncio.sleep(RESEND_EVERY_S)

    async def _link_up(self) -> LocalLink | RayLink:
        """Return the way to the master: its socket where that can be reached, else Ray."""
        async with self._linking:
            if self._link is None:
                if self._meter is not None:
                    self._meter.start(self._tell)
                handle = await asyncio.to_thread(names.find, names.MASTER)
                path = (await handle.info.remote())["socket"]
                try:
                    self._link = await LocalLink.connect(path)
                except OSError:
                    self._link = RayLink(handle)
            return self._link

    async def _node_worker_of(self, worker_id: str) -> str | None:
        """Return the actor that a worker is now; a worker keeps its id when its node starts again, an actor does not."""
        worker = await self.query(GetWorker(worker_id), SYSTEM)
        return None if isinstance(worker, Rejected) else names.node_worker(str(worker["node_id"]))

    async def _ask_actor(self, name: str | None, send: Callable[[Any], Awaitable[T | NotReady]]) -> T | None:
        """Call another actor once; None when it is not there, or cannot live for now."""
        if name is None:
            return None
        try:
            answer = await send(await asyncio.to_thread(names.find, name))
            if not isinstance(answer, NotReady):
                return answer
            log.warning("%s is not ready: %s", name, answer.reason)
            return None
        except (RayError, ValueError) as error:
            log.warning("%s does not answer: %s", name, error)
            return None

    # ------------------------------------------------------------------------------------- elsewhere

    async def _with_history(self, question: Question, by: Principal, reply: Answer) -> Answer:
        """Complete an answer with what has left memory, and with results that stayed on their node."""
        if isinstance(question, (GetTask, GetResult)):
            if isinstance(reply, Rejected) and reply.code is ErrorCode.NOT_FOUND:
                return await self._ask_actor(names.HISTORIAN, lambda h: h.find.remote(question, by)) or reply
            if isinstance(question, GetResult) and not isinstance(reply, Rejected):
                return await self._fetch(reply)
        if isinstance(question, ListTasks) and not isinstance(reply, Rejected) and reply["retired"]:
            older = await self._ask_actor(names.HISTORIAN, lambda h: h.list.remote(question, by, reply))
            return older or reply
        if isinstance(question, WaitTasks) and not isinstance(reply, Rejected) and reply["unknown"]:
            return await self._ask_actor(names.HISTORIAN, lambda h: h.wait.remote(by, reply)) or reply
        return reply

    async def _with_settled(self, order: Order, body: SubmitTasks) -> Order:
        """Name the dependencies that only the history still knows, and knows as completed."""
        needed = {n for spec in body.specs for n in spec.get("depends_on") or () if not n.startswith("#")}
        if not needed:
            return order
        reply = await self.query(WaitTasks(tuple(needed)), order.by)
        if isinstance(reply, Rejected):
            return order
        done = frozenset(outcome["id"] for outcome in reply["done"] if outcome["status"] == "completed")
        return replace(order, body=replace(body, settled=done))

    async def _fetch(self, reply: dict[str, Any]) -> Answer:
        result = reply.get("result")
        if isinstance(result, dict) and isinstance(result.get("shards"), list):
            return await self._fetch_shards(reply, result)
        if not isinstance(result, dict) or result.get("stored") != "object_store" or "value" in result:
            return reply
        name = await self._node_worker_of(str(reply["assigned_worker"]))
        fetched = await self._ask_actor(name, lambda n: n.fetch_result.remote(reply["id"], reply["attempt"]))
        if fetched is None:
            message = "The result was kept on a node that is gone; run the task again"
            return Rejected(
                ErrorCode.NOT_FOUND, message, {"id": reply["id"], "worker": reply["assigned_worker"]}
            )
        return {**reply, "result": {**result, **fetched}}

    async def _fetch_shards(self, reply: dict[str, Any], result: dict[str, Any]) -> Answer:
        """Put the parts in that stayed on the nodes of their shards; what is lost there stays what says where it was."""
        parts = list(result["shards"])
        for index, part in enumerate(parts):
            if isinstance(part, dict) and part.get("stored") == "object_store" and "value" not in part:
                shard = await self.query(GetResult(shard_id(reply["id"], index)), SYSTEM)
                if not isinstance(shard, Rejected):
                    parts[index] = shard["result"]
        return {**reply, "result": {**result, "shards": parts}}

    async def _read_log(self, question: ReadLog, by: Principal, wait_s: float) -> Answer:
        task = await self.query(GetTask(question.task_id), by)
        if isinstance(task, Rejected):
            return task
        worker_id = str(task["assigned_worker"])

        async def read(attempt: int) -> Answer | None:
            pieces = (question.task_id, attempt, question.offset, question.limit_bytes)
            name = await self._node_worker_of(worker_id)
            piece: Answer | None = await self._ask_actor(name, lambda n: n.read_log.remote(*pieces, wait_s))
            if piece is None:
                # After a restart the cluster has other nodes, but their machine has the same files.
                piece = await self._ask_actor(names.HISTORIAN, lambda h: h.read_log.remote(*pieces))
            return piece

        return await read_log(question, task, read, wait_s)


def _not_ready(said: NotReady) -> Rejected:
    """Return the refusal of a master that does not live yet."""
    reason = said.reason or "it is starting"
    details = {"retry_after_s": NOT_READY_AGAIN_S, "reason": reason}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, f"The control plane is not ready: {reason}", details)
