"""Reads large results and the output of attempts, which stay on nodes, and those in files of the head."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.gathering import joined
from helix_ray.core.model_records import FileRef
from helix_ray.core.names import shard_id
from helix_ray.core.questions import GetResult, GetTask, GetWorker, QuestionKind, ReadItems, ReadLog, View
from helix_ray.core.result_files import file_of_result
from helix_ray.core.specs import JsonObject
from helix_ray.core.views.tasks import ResultView, stays_on_node, stays_pickled
from helix_ray.execution.log_reading import read_items, read_log
from helix_ray.plane.calls import Calls
from helix_ray.plane.responses import UNKNOWN, Response, SourceUnavailable, Unknown, as_answer, response_of
from helix_ray.plane.result_files import read_result


class Asks(Protocol):
    """Asks the whole control plane, so that tasks that have left memory are found as well."""

    async def __call__(self, question: QuestionKind[View], by: Principal) -> View | Rejected:
        """Answer a question."""
        ...


# How many shards' results are fetched at a time.
PARTS_AT_ONCE_MAX = 16


class OnNodes:
    """Fetches results and output from nodes."""

    def __init__(self, ask: Asks, calls: Calls) -> None:
        self._ask = ask
        self._calls = calls

    async def with_kept(self, question: QuestionKind[Any], reply: ResultView) -> ResultView | Rejected:
        """Complete a result with the values stored on nodes, unless they are pickled and the question is for
        JSON only."""
        json_only = isinstance(question, GetResult) and question.json_only
        result = reply["result"]
        if not isinstance(result, dict):
            return reply
        if isinstance(result.get("shards"), list):
            unreadable = json_only and any(map(stays_pickled, result["shards"]))
            return reply if unreadable else await self._with_kept_parts(reply, result["shards"])
        if (file := file_of_result(result)) is not None:
            return await self._from_file(reply, file)
        if not stays_on_node(result) or (json_only and stays_pickled(result)):
            return reply
        worker_id = str(reply["assigned_worker"])
        kept: Response[JsonObject] = await self._on_node(
            worker_id, "fetch_result", reply["id"], reply["attempt"]
        )
        if isinstance(kept, Unknown):
            message = "The result was stored on a node that has left the cluster. Run the task again"
            details = {"id": reply["id"], "worker": reply["assigned_worker"]}
            return Rejected(ErrorCode.NOT_FOUND, message, details)
        found = as_answer(kept)
        return found if isinstance(found, Rejected) else {**reply, "result": {**result, **found}}

    async def _from_file(self, reply: ResultView, file: FileRef) -> ResultView | Rejected:
        found = await read_result(self._calls, reply["id"], file)
        if isinstance(found, Unknown):
            message = "The file of the result has been removed. Run the task again"
            return Rejected(ErrorCode.NOT_FOUND, message, {"id": reply["id"], "digest": file["digest"]})
        answer = as_answer(found)
        return answer if isinstance(answer, Rejected) else {**reply, "result": answer}

    async def _with_kept_parts(self, reply: ResultView, shards: Sequence[Any]) -> ResultView | Rejected:
        """Insert the shards' results; a lost one remains a reference to its node or file."""
        at_once = asyncio.Semaphore(PARTS_AT_ONCE_MAX)

        async def fetched(index: int, part: Any) -> Any:
            file, shard_name = file_of_result(part), shard_id(reply["id"], index)
            if file is None and not stays_on_node(part):
                return part
            async with at_once:
                if file is not None:
                    found = await read_result(self._calls, shard_name, file)
                    return part if isinstance(found, Unknown) else as_answer(found)
                shard = await self._ask(GetResult(shard_name), SYSTEM)
            if not isinstance(shard, Rejected):
                return shard["result"]
            return shard if shard.code is ErrorCode.SERVICE_UNAVAILABLE else part

        parts = await asyncio.gather(*(fetched(index, part) for index, part in enumerate(shards)))
        away = next((part for part in parts if isinstance(part, Rejected)), None)
        return away or {**reply, "result": joined(parts) or {**reply["result"], "shards": parts}}

    async def answer(self, question: QuestionKind[Any], by: Principal, wait_s: float) -> Answer:
        """Answer a question that is a node's to answer, from its node or from files on the head's machine."""
        if not isinstance(question, ReadLog | ReadItems):
            raise TypeError(f"{type(question).__name__} is not answered by a node")
        task = await self._ask(GetTask(question.task_id), by)
        if isinstance(task, Rejected):
            return task
        worker_id = str(task["assigned_worker"])
        if isinstance(question, ReadItems):
            read = partial(self._piece, worker_id, "read_items", question, (), wait_s)
            return await read_items(question, task, read, wait_s)
        read = partial(self._piece, worker_id, "read_log", question, (question.raw,), wait_s)
        return await read_log(question, task, read, wait_s)

    async def _piece(
        self, worker_id: str, method: str, question: ReadLog | ReadItems, more: tuple[Any, ...],
        wait_s: float, attempt: int,
    ) -> Any:  # fmt: skip
        """Return a piece of a file of an attempt; None if nobody has such a file."""
        where = (question.task_id, attempt, question.offset, question.limit_bytes, *more)
        found: Response[Any] = await self._on_node(worker_id, method, *where, wait_s, wait_s=wait_s)
        if isinstance(found, Unknown):
            # After a restart the cluster has other nodes, but the machine has the same files.
            found = response_of(await self._calls.history(method, *where))
        return None if isinstance(found, Unknown) else as_answer(found)

    async def _on_node(
        self, worker_id: str, method: str, *arguments: Any, wait_s: float = 0.0
    ) -> Response[Any]:
        """Call the actor that is the worker's at the moment: the worker's id survives its actor,
        but stored results may not."""
        worker = await self._ask(GetWorker(worker_id), SYSTEM)
        if isinstance(worker, Rejected):
            gone = worker.code is ErrorCode.NOT_FOUND
            return UNKNOWN if gone else SourceUnavailable("node", "its node is unknown")
        if worker["status"] == "lost":
            return UNKNOWN
        return response_of(await self._calls.node(str(worker["node_id"]), method, *arguments, wait_s=wait_s))
