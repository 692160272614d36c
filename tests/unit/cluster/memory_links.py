"""Links to an engine in this process, and to one node that calls the functions."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle

from helix_ray.cluster.api import Cluster
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer, has_news
from helix_ray.core.errors import Rejected
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import (
    AttemptReport,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    ReportAttempts,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.policy import Policy
from helix_ray.core.questions import Question
from helix_ray.engine import Engine
from helix_ray.execution import progress
from helix_ray.execution.failure import describe
from helix_ray.execution.generators import yields
from helix_ray.execution.item_file import HEADER
from helix_ray.journal.memory import MemoryJournal
from helix_ray.plane.links import LinkLost
from helix_ray.plane.names import HISTORIAN
from helix_ray.ports import Batch, NotReady
from helix_ray.wire.ids import new_seed

NODE = "worker-node1"
BOOT = "boot"
YIELDED = {"success": True, "stored": "items", "format": "pickle", "bytes": 1}


class HandClock:
    """A clock that stands until it is moved."""

    now = 1_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class MemoryLinks:
    """plane.links.Links and the link to the master; `hold` keeps tasks unfinished, `stored_over` bytes of
    result stay on the node."""

    board = None

    def __init__(self, *, hold: bool = False, stored_over: int = 10**9, queue_tasks_max: int = 10**6) -> None:
        self.engine = Engine(MemoryJournal(), Policy(queue_tasks_max=queue_tasks_max), HandClock())
        self.hold = hold
        self.stored_over = stored_over
        self.batches: list[int] = []
        self.questions: list[Question] = []
        self.kept: dict[tuple[str, int], dict[str, Any]] = {}
        self.yielded: dict[tuple[str, int], bytes] = {}
        self.piece_bytes_max = 10**9
        self.asked = asyncio.Event()
        self.lose_answers = 0
        self.reason: str | None = None
        self._news = asyncio.Event()
        self._do(
            RegisterWorker(
                "node1", ("testing",), {"cpu": 1e6}, worker_id=NODE, kind="node", node_id="n1", boot=BOOT
            )
        )

    def _do(self, body: OrderBody) -> Receipt | Rejected:
        return self.engine.execute([Order(body, SYSTEM, "req-test", new_seed())])[0]

    async def master(self) -> MemoryLinks:
        return self

    def close(self) -> None:
        pass

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a method of the master, or one of the node's worker."""
        if name == HISTORIAN:
            # It has nothing: what was asked is left as it was.
            reply = arguments[-1]
            return None if arguments[0] == "recall" or isinstance(reply, Rejected) else reply
        if name.startswith("helix-node-"):
            method, *arguments = arguments
            reply = getattr(self, method)(*arguments)
            return await reply if isawaitable(reply) else reply
        if self.reason is not None:
            return NotReady(self.reason)
        answer = await getattr(self, name)(*arguments)
        if self.lose_answers:
            self.lose_answers -= 1
            raise LinkLost("lost on the way back")
        return answer

    async def execute_batch(self, orders: Sequence[Order]) -> list[Receipt | Rejected]:
        self.batches.append(len(orders))
        answers = self.engine.execute(orders)
        await asyncio.sleep(0)
        if not self.hold and any(isinstance(order.body, SubmitTasks) for order in orders):
            self.run_pending()
        self._wake()
        return answers

    async def query_batch(self, pairs: Sequence[tuple[Question, Principal]]) -> tuple[int, list[Answer]]:
        return self.engine.state.seq, [self.engine.query(question, by) for question, by in pairs]

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        self.questions.append(question)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        while True:
            news = self._news
            answer = self.engine.query(question, by)
            if has_news(question, answer) or loop.time() >= ends_at:
                return answer
            try:
                await asyncio.wait_for(news.wait(), max(0.0, ends_at - loop.time()))
            except TimeoutError:
                continue

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float, abouts: bool
    ) -> Batch | Rejected:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        while True:
            batch = self.engine.events(after, limit, by, abouts)
            if isinstance(batch, Rejected) or batch.cursor > after or loop.time() >= ends_at:
                return batch
            await asyncio.sleep(0.002)

    def fetch_result(self, task_id: str, attempt: int) -> dict[str, Any] | None:
        return self.kept.get((task_id, attempt))

    async def read_items(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, wait_s: float
    ) -> dict[str, Any]:
        """Give what was yielded, in pieces of `piece_bytes_max`; waits for more while the attempt runs."""
        ends_at = time.monotonic() + wait_s
        while True:
            over = not self._runs(task_id, attempt)
            data = self.yielded.get((task_id, attempt), b"")[offset:][: self.piece_bytes_max]
            if data or over or time.monotonic() >= ends_at:
                return {"attempt": attempt, "data": data, "next_offset": offset + len(data), "eof": over}
            await asyncio.sleep(0.002)

    def _runs(self, task_id: str, attempt: int) -> bool:
        task = self.engine.state.tasks[task_id]
        return task.attempt == attempt and task.status is Status.RUNNING

    def begin(self, task_id: str) -> None:
        """Assign a task to the node."""
        self._do(StartAttempts(((task_id, NODE),)))

    def give(self, task_id: str, *items: Any) -> None:
        """Yield items in the running attempt of a task."""
        pickles = map(cloudpickle.dumps, items)
        frames = b"".join(HEADER.pack(len(pickled)) + pickled for pickled in pickles)
        key = (task_id, self.engine.state.tasks[task_id].attempt)
        self.yielded[key] = self.yielded.get(key, b"") + frames

    def end(self, task_id: str, outcome: str = "completed", items: int | None = None, **more: Any) -> None:
        """End the running attempt of a task, which has yielded so many items."""
        result = None if items is None else {**YIELDED, "items": items}
        report = AttemptReport(task_id, self.engine.state.tasks[task_id].attempt, outcome, result, **more)
        self._do(ReportAttempts(NODE, BOOT, (report,)))

    def read_log(self, task_id: str, attempt: int, offset: int, *_: Any) -> dict[str, Any]:
        text = "one\ntwo\n"[offset:][:4]
        return {
            "text": text,
            "offset": offset,
            "next_offset": offset + len(text),
            "eof": not text,
            "attempt": attempt,
        }

    def run_pending(self) -> None:
        """Run everything that waits, on the node."""
        state = self.engine.state
        pending = [task_id for line in state.ready.values() for level in line.levels for task_id in level]
        self._do(StartAttempts(tuple((task_id, NODE) for task_id in pending)))
        reports = [self._run(task_id) for task_id in pending if state.tasks[task_id].worker == NODE]
        self._do(ReportAttempts(NODE, BOOT, tuple(reports)))
        self._wake()

    def _run(self, task_id: str) -> AttemptReport:
        task = self.engine.state.tasks[task_id]
        run = task.run
        assert run is not None
        if run["kind"] != "function":
            return AttemptReport(
                task_id, task.attempt, "completed", {"success": True, "output": "", "exit_code": 0}
            )
        function, args, kwargs = cloudpickle.loads(b64decode(run["payload"]))
        shard = task.spec.get("shard")
        place = (shard["index"], shard["count"]) if shard else None
        progress.install(progress.Sink(progress.TaskInfo(task_id, task.attempt, place), lambda _: None))
        try:
            value = function(*args, **kwargs)
            if yields(value):
                items = list(value)
                self.give(task_id, *items)
                return AttemptReport(task_id, task.attempt, "completed", {**YIELDED, "items": len(items)})
            data = cloudpickle.dumps(value)
        except BaseException as raised:
            info = describe(raised)
            error = {
                "reason": info.reason,
                "type": info.type,
                "message": info.message,
                "traceback": info.traceback,
            }
            if info.pickled is not None:
                error["pickled"] = b64encode(info.pickled).decode()
            return AttemptReport(task_id, task.attempt, "failed", None, error, retryable=False)
        finally:
            progress.install(None)
        result: dict[str, Any] = {"success": True, "pickled": b64encode(data).decode()}
        if len(data) > self.stored_over:
            self.kept[task_id, task.attempt] = result
            result = {"success": True, "stored": "object_store", "bytes": len(data)}
        return AttemptReport(task_id, task.attempt, "completed", result)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


LINKS: WeakKeyDictionary[Cluster, MemoryLinks] = WeakKeyDictionary()


def links_of(cluster: Cluster) -> MemoryLinks:
    """Return what a cluster of `connect` stands on."""
    return LINKS[cluster]
