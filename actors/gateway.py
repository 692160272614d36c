"""The control plane over Ray: what HTTP routes, node workers and followers hold instead of the master's handle.

Orders that arrive while a call is under way travel together in the next one. A master that dies in the middle is
back within seconds: the same orders are sent again until RESEND_S have passed, and because their ids and keys are
made here once, an order that was carried out before the crash is recognised. Ray's errors end here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from ray.exceptions import RayError, RayTaskError

from actors.life import STARTING
from actors.local_link import CallFailed, LinkLost, LocalLink, RayLink
from actors.reach import Reach
from actors.read_cache import ReadCache
from actors.readiness import Readings
from actors.turn_meter import TurnMeter
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import (
    AddMember,
    CancelTask,
    ChangePassword,
    ChangeProject,
    ChangeRoles,
    CloseSession,
    CreateProject,
    CreateToken,
    CreateUser,
    DeleteTask,
    DistributeTask,
    DrainWorker,
    OpenSession,
    Order,
    Receipt,
    RefreshSession,
    RegisterWorker,
    RemoveMember,
    RemoveProject,
    RemoveUser,
    RetryTask,
    RevokeToken,
    SetQuota,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import (
    ExplainTask,
    GetResult,
    GetTask,
    ListNodes,
    ListTasks,
    ListWorkers,
    PlanTask,
    Question,
    Readiness,
    ReadLog,
    WaitTasks,
)
from helix_ray.core.weight import LIGHT_TASKS_MAX, weight_of
from helix_ray.elsewhere import Elsewhere, Unavailable
from helix_ray.ports import Batch, NotReady

log = logging.getLogger(__name__)

T = TypeVar("T")
Answer = dict[str, Any] | Rejected
# An order, who waits for its answer, and its weight.
Waiting = tuple[Order, asyncio.Future[Receipt | Rejected], int]

RESEND_S = 60.0
RESEND_EVERY_S = 0.1
# The last call that is sent is given at least this long.
ANSWER_S_MIN = 5.0
# Calls on their way to the master at once; more orders than that wait and travel together.
CALLS_UNDER_WAY_MAX = 2
# In weight (helix_ray/core/weight.py).
CALL_TASKS_MAX = 500
# Orders whose second execution would not be recognised by itself get a key of ours.
NEEDS_KEY = (
    UpdateTask, CancelTask, RetryTask, DeleteTask, RegisterWorker, DrainWorker, CreateUser, RemoveUser, ChangeRoles,
    ChangePassword, OpenSession, RefreshSession, CloseSession, DistributeTask, SetQuota,
    CreateProject, ChangeProject, RemoveProject, AddMember, RemoveMember, CreateToken, RevokeToken,
)  # fmt: skip
# Questions whose answers may take long: they travel alone, so that nobody's short one waits for them.
LONG = (ListTasks, WaitTasks, ListNodes, ExplainTask, PlanTask)
UNAVAILABLE = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not answer", {"retry_after_s": 5}
)
NOT_READY_AGAIN_S = 2


class RayControlPlane:
    """ports.ControlPlane over the master's handle; make it on the event loop that uses it."""

    def __init__(self, *, process: str = "", reach: Reach | None = None, cached: bool = False) -> None:
        """`process` names the kind of process whose turns are told to the master; without it none are measured.
        `cached` keeps tasks that were read, and answers from them while they are known to be current."""
        self._cache = ReadCache() if cached else None
        self._meter = TurnMeter(process) if process else None
        self._reach = reach or Reach()
        self._elsewhere = Elsewhere(self)
        self._link: LocalLink | RayLink | None = None
        self._linking = asyncio.Lock()
        # Orders that touch few tasks do not wait behind a bulk submit.
        self._light: list[Waiting] = []
        self._heavy: list[Waiting] = []
        self._under_way = 0
        self._questions: list[tuple[Question, Principal, asyncio.Future[tuple[int, Answer]]]] = []
        self._asking = 0
        self._running: set[asyncio.Task[None]] = set()
        self._readings = Readings(lambda: self.query(ListWorkers(), SYSTEM))

    # ------------------------------------------------------------------------------------- the verbs

    async def execute(self, order: Order) -> Receipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        if order.key is None and isinstance(order.body, NEEDS_KEY):
            order = replace(order, key=f"~{order.seed}", fingerprint=order.seed)
        if isinstance(order.body, SubmitTasks):
            settled = await self._elsewhere.settled(order, order.body)
            if isinstance(settled, Rejected):
                return settled
            order = settled
        future: asyncio.Future[Receipt | Rejected] = asyncio.get_running_loop().create_future()
        weight = weight_of(order)
        (self._light if weight <= LIGHT_TASKS_MAX else self._heavy).append((order, future, weight))
        self._send_orders()
        return await future

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Answer a question from the master, the history or the node that knows, as of now."""
        if isinstance(question, ReadLog):
            return await self._elsewhere.read_log(question, by, wait_s)
        if isinstance(question, Readiness):
            return {"missing": await self._readings.missing()}
        if self._cache is not None and isinstance(question, GetTask):
            return await self._task(self._cache, question, by)
        if wait_s > 0 or isinstance(question, LONG):
            reply: Answer = await self._call(
                "query", (question, by, wait_s), lambda refusal: refusal, wait_s=wait_s
            )
        else:
            _, reply = await self._ask(question, by)
        reply = await self._elsewhere.with_history(question, by, reply)
        if isinstance(question, GetResult) and not isinstance(reply, Rejected):
            return await self._elsewhere.with_kept(reply)
        return reply

    async def _task(self, cache: ReadCache, question: GetTask, by: Principal) -> Answer:
        known = cache.task(question.task_id, by)
        if known is not None:
            return known
        generation = cache.generation()
        seq, reply = await self._ask(question, by)
        if isinstance(reply, Rejected):
            return await self._elsewhere.with_history(question, by, reply)
        cache.keep(question.task_id, reply, seq, generation)
        return reply

    async def events(self, after: int, limit: int, wait_s: float = 0.0) -> Batch:
        """Return facts after a cursor; raises Refused (SERVICE_UNAVAILABLE) when the master stays away."""
        batch: Batch | Rejected = await self._call(
            "events", (after, limit, wait_s), lambda refusal: refusal, wait_s=wait_s
        )
        if isinstance(batch, Rejected):
            raise Refused(batch)
        return batch

    # What Elsewhere asks: see its Sources.

    async def master(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Answer a question as `query` does."""
        return await self.query(question, by, wait_s)

    async def history(self, method: str, *arguments: Any) -> dict[str, Any] | Unavailable | None:
        """Call the historian."""
        return await self._reach.history(method, *arguments)

    async def node(
        self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0
    ) -> dict[str, Any] | Unavailable | None:
        """Call a node's worker."""
        return await self._reach.node(node_id, method, *arguments, wait_s=wait_s)

    async def aclose(self) -> None:
        """Let go of the master; what is under way is not waited for. Safe to call twice."""
        if self._meter is not None:
            self._meter.close()
        link = self._link
        self._let_go()
        if isinstance(link, LocalLink):
            link.close()
            # The loop closes the socket in its next turn.
            await asyncio.sleep(0)

    async def _tell(self, kind: str, process: str, report: dict[str, Any]) -> None:
        await self._call("take_turns", (kind, process, report), lambda _: None, resend_s=0.0)

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
        """Return the answer, and the seq that it is at least as of."""
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
        resend_s: float | None = None,
        wait_s: float = 0.0,
    ) -> T:
        """Call the master until it answers; return what `otherwise` makes of the refusal when it has not for `resend_s`
        (RESEND_S) seconds, or as soon as it says why it cannot live.

        One that hangs is waited for as long as one that is away, and `wait_s` for what the question waits by itself.
        """
        end = time.monotonic() + (RESEND_S if resend_s is None else resend_s)
        while True:
            link = self._link
            try:
                async with asyncio.timeout(max(end - time.monotonic(), ANSWER_S_MIN) + wait_s):
                    if link is None:
                        link = await self._link_up()
                    answer: T | NotReady = await link.call(method, *arguments)
            except (RayTaskError, CallFailed):
                log.exception("the master failed on a call")
                return otherwise(UNAVAILABLE)
            except (RayError, ValueError, LinkLost, TimeoutError) as error:
                if self._link is link:
                    self._let_go()
                if time.monotonic() >= end:
                    log.warning("the master does not answer: %r", error)
                    return otherwise(UNAVAILABLE)
            else:
                if not isinstance(answer, NotReady):
                    return answer
                if answer.reason is not None or time.monotonic() >= end:
                    return otherwise(_not_ready(answer))
            await asyncio.sleep(RESEND_EVERY_S)

    async def _link_up(self) -> LocalLink | RayLink:
        async with self._linking:
            if self._link is None:
                if self._meter is not None:
                    self._meter.start(self._tell)
                self._link = await self._reach.master()
                if self._cache is not None and isinstance(self._link, LocalLink):
                    self._cache.attach(self._link.board)
            return self._link

    def _let_go(self) -> None:
        """Forget a master that does not answer, and all that is only known to be current through it."""
        self._link = None
        if self._cache is not None:
            self._cache.detach()


def _not_ready(said: NotReady) -> Rejected:
    """Return the refusal of a master that does not live yet."""
    reason = said.reason or STARTING
    details = {"retry_after_s": NOT_READY_AGAIN_S, "reason": reason}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, f"The control plane is not ready: {reason}", details)
