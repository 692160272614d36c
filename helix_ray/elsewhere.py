"""What the master does not know by itself: tasks that have left its memory, and what stayed on nodes.

Whoever knows may be asked and not answer, which is neither yes nor no. So all that is asked here comes back as one of

    an answer       whoever knows has said it
    UNKNOWN         whoever knows has said that there is no such thing
    Unavailable     whoever knows does not answer: the asker gets SERVICE_UNAVAILABLE, and nothing is concluded from it

Both ways to the control plane (actors/gateway.py, helix_ray/cluster) complete the master's answers here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Literal, Protocol

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.decide.shards import shard_id
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Order, SubmitTasks
from helix_ray.core.questions import GetResult, GetTask, GetWorker, ListTasks, Question, ReadLog, WaitTasks
from helix_ray.execution.log_reading import read_log

RETRY_AFTER_S = 2


class Unknown(Enum):
    """The type of UNKNOWN."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Whoever knows does not answer now: `who` is "history" or "node", `why` may be shown to anybody."""

    who: Literal["history", "node"]
    why: str = ""

    def rejected(self) -> Rejected:
        """Return it as the refusal that an asker gets."""
        details: dict[str, Any] = {"unavailable": self.who, "retry_after_s": RETRY_AFTER_S}
        message = f"The {self.who} that knows does not answer; ask again"
        return Rejected(
            ErrorCode.SERVICE_UNAVAILABLE, message, details | ({"reason": self.why} if self.why else {})
        )


Told = dict[str, Any] | Unknown | Unavailable


class Sources(Protocol):
    """Whom to ask. What an actor returns comes back as it is; None means that it knows of no such thing."""

    async def master(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Ask the control plane as a whole, so that what has left memory is found as well."""
        ...

    async def history(self, method: str, *arguments: Any) -> dict[str, Any] | Unavailable | None:
        """Call a method of the historian, which follows the journal."""
        ...

    async def node(
        self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0
    ) -> dict[str, Any] | Unavailable | None:
        """Call a method of a node's worker, which may take `wait_s` seconds."""
        ...


class Elsewhere:
    """Completes the master's answers from its sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def with_history(self, question: Question, by: Principal, reply: Answer) -> Answer:
        """Complete an answer with what has left the master's memory."""
        if isinstance(reply, Rejected):
            if reply.code is not ErrorCode.NOT_FOUND or not isinstance(question, (GetTask, GetResult)):
                return reply
            found = _told(await self._sources.history("find", question, by))
            return reply if found is UNKNOWN else _answer(found)
        if isinstance(question, ListTasks) and reply["retired"]:
            return _answer(_told(await self._sources.history("list", question, by, reply)))
        if isinstance(question, WaitTasks) and reply["unknown"]:
            older = _told(await self._sources.history("wait", by, reply))
            if isinstance(older, Unavailable):
                # What is known stays known; the rest is neither done nor unknown.
                return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": older.rejected()}
            return _answer(older)
        return reply

    async def settled(self, order: Order, body: SubmitTasks) -> Order | Rejected:
        """Name the dependencies that only the history still knows, and knows as completed."""
        needed = {n for spec in body.specs for n in spec.get("depends_on") or () if not n.startswith("#")}
        if not needed:
            return order
        reply = await self._sources.master(WaitTasks(tuple(needed)), order.by)
        if isinstance(reply, Rejected):
            # Who may not ask may not submit either: the order says so.
            return reply if reply.code is ErrorCode.SERVICE_UNAVAILABLE else order
        if reply.get("unavailable"):
            why: Rejected = reply["why"]
            return why
        done = frozenset(outcome["id"] for outcome in reply["done"] if outcome["status"] == "completed")
        return replace(order, body=replace(body, settled=done))

    # ------------------------------------------------------------------------------------- on nodes

    async def kept_result(self, worker_id: str, task_id: str, attempt: int) -> Told:
        """Return a result that stayed on the node that made it."""
        return await self._on_node(worker_id, "fetch_result", task_id, attempt)

    async def with_kept(self, reply: dict[str, Any]) -> Answer:
        """Put in what of a result stayed on nodes."""
        result = reply.get("result")
        if not isinstance(result, dict):
            return reply
        if isinstance(result.get("shards"), list):
            return await self._with_kept_parts(reply, result["shards"])
        if not _stayed(result):
            return reply
        kept = await self.kept_result(str(reply["assigned_worker"]), reply["id"], reply["attempt"])
        if kept is UNKNOWN:
            message = "The result was kept on a node that is gone; run the task again"
            details = {"id": reply["id"], "worker": reply["assigned_worker"]}
            return Rejected(ErrorCode.NOT_FOUND, message, details)
        found = _answer(kept)
        return found if isinstance(found, Rejected) else {**reply, "result": {**result, **found}}

    async def _with_kept_parts(self, reply: dict[str, Any], shards: Sequence[Any]) -> Answer:
        """Put the shards' results in; what is lost stays what says where it was."""
        parts = list(shards)
        for index, part in enumerate(parts):
            if isinstance(part, dict) and _stayed(part):
                shard = await self._sources.master(GetResult(shard_id(reply["id"], index)), SYSTEM)
                if not isinstance(shard, Rejected):
                    parts[index] = shard["result"]
                elif shard.code is ErrorCode.SERVICE_UNAVAILABLE:
                    return shard
        return {**reply, "result": {**reply["result"], "shards": parts}}

    async def read_log(self, question: ReadLog, by: Principal, wait_s: float) -> Answer:
        """Return a piece of a task's log from its node, or from what a node of the head's machine has left."""
        task = await self._sources.master(GetTask(question.task_id), by)
        if isinstance(task, Rejected):
            return task

        async def read(attempt: int) -> Answer | None:
            pieces = (question.task_id, attempt, question.offset, question.limit_bytes)
            told = await self._on_node(
                str(task["assigned_worker"]), "read_log", *pieces, wait_s, wait_s=wait_s
            )
            if told is UNKNOWN:
                # A cluster that was started again has other nodes, but their machine has the same files.
                told = _told(await self._sources.history("read_log", *pieces))
            return None if told is UNKNOWN else _answer(told)

        return await read_log(question, task, read, wait_s)

    async def _on_node(self, worker_id: str, method: str, *arguments: Any, wait_s: float = 0.0) -> Told:
        """Ask the actor that a worker is now: its id outlives its node's actor, and not everything outlives that."""
        worker = await self._sources.master(GetWorker(worker_id), SYSTEM)
        if isinstance(worker, Rejected):
            return (
                UNKNOWN
                if worker.code is ErrorCode.NOT_FOUND
                else Unavailable("node", "its node is not known")
            )
        if worker["status"] == "lost":
            return UNKNOWN
        return _told(await self._sources.node(str(worker["node_id"]), method, *arguments, wait_s=wait_s))


def _told(answer: dict[str, Any] | Unavailable | None) -> Told:
    return UNKNOWN if answer is None else answer


def _answer(told: Told) -> Answer:
    """Return what was told as an answer; UNKNOWN has to be dealt with before."""
    if isinstance(told, Unavailable):
        return told.rejected()
    if isinstance(told, Unknown):
        raise TypeError("whoever keeps it always knows an answer")
    return told


def _stayed(result: dict[str, Any]) -> bool:
    return result.get("stored") == "object_store" and "value" not in result
