"""A watcher for all unfinished handles of a cluster: a few long polls over many ids,
not one for each handle."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Lock
from typing import Protocol
from weakref import WeakValueDictionary

from helix_ray.cluster.background import Background
from helix_ray.core.errors import Refused, not_found
from helix_ray.core.questions import QuestionKind, View, WaitTasks
from helix_ray.core.views.tasks import ResultView

POLL_TASKS_MAX = 5000
# A handle that comes while all polls wait is included when the first of them returns: at most this late.
POLL_WAIT_S = 1.0
POLLS_MAX = 4

Outcome = ResultView


class AskWithin(Protocol):
    """Answers a question within the seconds that it may wait; its exceptions are passed on to the caller."""

    async def __call__(self, question: QuestionKind[View], wait_s: float) -> View:
        """Answer a question."""
        ...


class NotCompleted(Exception):
    """Carries the outcome of a failed or cancelled task; internal."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Watcher:
    """Resolves a future for every awaited task.

    Each id is in exactly one place: in `_new` (not asked for yet) or in a poll under way. A future without
    other references drops out.
    """

    def __init__(self, ask: AskWithin, background: Background) -> None:
        self._ask = ask
        self._background = background
        self._lock = Lock()
        self._open: WeakValueDictionary[str, Future[Outcome]] = WeakValueDictionary()
        self._new: dict[str, None] = {}
        self._polls: set[asyncio.Task[None]] = set()

    def future(self, task_id: str) -> Future[Outcome]:
        """Return the future of a task's outcome; callable from any thread."""
        with self._lock:
            future = self._open.get(task_id)
            if future is None:
                future = self._open[task_id] = Future()
                self._background.loop.call_soon_threadsafe(self._add, task_id)
            return future

    def stop(self, reason: Exception) -> None:
        """Fail the unfinished futures."""
        with self._lock:
            for future in list(self._open.values()):
                _resolve(future, reason)

    def _add(self, task_id: str) -> None:
        self._new[task_id] = None
        self._start_polls()

    def _start_polls(self) -> None:
        while self._new and len(self._polls) < POLLS_MAX:
            waiting = [task_id for task_id in self._new if task_id in self._open]
            ids, rest = tuple(waiting[:POLL_TASKS_MAX]), waiting[POLL_TASKS_MAX:]
            self._new = dict.fromkeys(rest)
            if not ids:
                return
            task = self._background.loop.create_task(self._poll(ids))
            self._polls.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._polls.discard(task)
        if not self._background.loop.is_closed():
            self._start_polls()

    async def _poll(self, ids: tuple[str, ...]) -> None:
        try:
            reply = await self._ask(WaitTasks(ids), POLL_WAIT_S)
        except Exception as error:
            for task_id in ids:
                self._resolve(task_id, error)
            return
        for outcome in reply["done"]:
            self._resolve(outcome["id"], outcome)
        for task_id in reply["unknown"]:
            self._resolve(task_id, Refused(not_found("Task", task_id)))
        if reply.get("unavailable"):
            # The history does not respond: it is asked again after a pause.
            await asyncio.sleep(POLL_WAIT_S)
        self._new.update(dict.fromkeys(task_id for task_id in ids if task_id in self._open))

    def _resolve(self, task_id: str, outcome: Outcome | Exception) -> None:
        with self._lock:
            future = self._open.pop(task_id, None)
        if future is not None:
            _resolve(future, outcome)


def _resolve(future: Future[Outcome], outcome: Outcome | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    elif outcome["status"] == "completed":
        future.set_result(outcome)
    else:
        future.set_exception(NotCompleted(outcome))
