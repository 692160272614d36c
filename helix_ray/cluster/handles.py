"""Handles of submitted tasks: their state and their results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from concurrent import futures
from typing import TYPE_CHECKING, Any, Literal

from helix_ray.cluster.naming import naming
from helix_ray.cluster.payload import absent, value_of
from helix_ray.cluster.streams import Stream
from helix_ray.cluster.waiting import NotCompleted, Outcome
from helix_ray.cluster.waits import as_done, result_of, result_soon, some_done
from helix_ray.core.errors import ErrorCode, Refused
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.orders import CancelTask, RetryTask
from helix_ray.core.questions import GetTask, ReadLog
from helix_ray.core.views.log_text import shown
from helix_ray.core.views.tasks import TaskView

if TYPE_CHECKING:
    from helix_ray.cluster.api import Cluster
    from helix_ray.core.orders.tasks import RetriedData

LOG_WAIT_S = 10.0
ReturnWhen = Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]


class Handle:
    """A submitted task. `id` is its task id; `await handle` and `handle.result()` give its value."""

    __slots__ = ("_cluster", "_watched", "id")

    def __init__(self, cluster: Cluster, task_id: str, known: futures.Future[Outcome] | None = None) -> None:
        self.id = task_id
        self._cluster = cluster
        self._watched = known

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def result(self, timeout: float | None = None) -> Any:
        """Return the task's value, or raise its exception; TimeoutError after `timeout` seconds.

        Of a sharded task it is the list of its shards' values, of a function that yields that of its items.

        Also raises TaskFailedError, TaskCancelledError, ResultLostError (helix_ray.cluster.errors). Ctrl-C
        ends the waiting only, and names the task.
        """
        with naming([self.id]):
            return self.value(timeout)

    def value(self, timeout: float | None = None) -> Any:
        """Return what `result` returns, for a caller that cancels the task when it is interrupted."""
        started = time.monotonic()
        outcome = self.outcome(timeout)
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - started))
        if absent(outcome):
            outcome = self._cluster.background.run(self._cluster.whole(outcome), left)
        return value_of(outcome)

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return the exception that `result` would raise, else None; TimeoutError after `timeout` seconds."""
        self.outcome(timeout)
        try:
            self.result()
        except Exception as error:
            return error
        return None

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Return the finished task's `status`, `result` and `error` as the control plane has them."""
        try:
            return result_of(self.future(), self.id, timeout)
        except NotCompleted as ended:
            return ended.outcome
        except TimeoutError:
            raise TimeoutError(f"{self.id} has not ended within {timeout} s") from None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value().__await__()

    async def _value(self) -> Any:
        try:
            outcome = await result_soon(self.future(), self.id)
        except NotCompleted as ended:
            outcome = ended.outcome
        return value_of(
            await asyncio.wrap_future(self._cluster.background.start(self._cluster.whole(outcome)))
        )

    def future(self) -> futures.Future[Outcome]:
        """Return the future that `wait` and `as_completed` use."""
        if self._watched is None:
            self._watched = self._cluster.watcher.future(self.id)
        return self._watched

    def known(self) -> futures.Future[Outcome] | None:
        """Return the future if the task is known to have ended."""
        return self._watched if self._watched is not None and self._watched.done() else None

    def done(self) -> bool:
        """Say whether the task has ended; asks the control plane unless somebody already waits for it."""
        return self.known() is not None or Status(self.status()) in TERMINAL

    def status(self) -> str:
        """Return waiting, pending, running, completed, failed or cancelled."""
        return str(self.view()["status"])

    def view(self) -> TaskView:
        """Return the control plane's record of the task (times in epoch seconds)."""
        return self._cluster.ask(GetTask(self.id))

    def cancel(self) -> bool:
        """Cancel the task; False when it had ended already."""
        try:
            self._cluster.order(CancelTask(self.id))
        except Refused as refused:
            if refused.rejected.code is not ErrorCode.CONFLICT:
                raise
            return False
        return True

    def retry(self, *, dependants: bool = False) -> RetriedData:
        """Queue the task again if it failed or was cancelled, however long ago; otherwise raises Refused.

        With `dependants` the tasks that failed because of it are queued as well, and wait for it again.
        Returns the task's status; with `dependants` also `queued` (ids, the nearest first) and `not_queued`
        (`id`, `code`, `message`, `details` each).
        """
        receipt = self._cluster.order(RetryTask(self.id, dependants))
        # It will end again: the known outcome is out of date.
        self._watched = None
        return receipt.data

    def stream(self, timeout: float | None = None) -> Stream:
        """Return an iterator over what the function yields, for `for` and `async for`: each item as soon as
        it was yielded, from the first one on, however late or often it is read.

        `timeout` is in seconds, for each item. A stream that cannot continue raises, see Stream.
        """
        return Stream(self._cluster.ask_async, self._cluster.background, self, timeout)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over `stream()`, as over Ray's ObjectRefGenerator."""
        return self.stream()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over `stream()`, without blocking the caller's event loop."""
        return self.stream()

    def logs(self) -> str:
        """Return the output so far of the newest attempt."""
        return "".join(self._pieces(follow=False))

    def follow(self) -> Iterator[str]:
        """Yield the output of the newest attempt in pieces, until the attempt ends."""
        return self._pieces(follow=True)

    def _pieces(self, *, follow: bool) -> Iterator[str]:
        offset, attempt = 0, None
        while True:
            wait_s, waits_for = (LOG_WAIT_S, self.id) if follow else (0.0, None)
            piece = self._cluster.ask(ReadLog(self.id, attempt, offset), wait_s, waits_for)
            if text := shown(piece, offset):
                yield text
            if piece["eof"] or not (follow or piece["text"]):
                return
            # From here on the attempt is named: the output of a retry must not follow in the same stream.
            offset, attempt = piece["next_offset"], piece["attempt"] or None


def wait(
    handles: Iterable[Handle], timeout: float | None = None, return_when: ReturnWhen = "ALL_COMPLETED"
) -> tuple[set[Handle], set[Handle]]:
    """Wait for handles; returns finished and unfinished ones, as concurrent.futures.wait does."""
    by_future = _by_future(handles)
    with naming(_unfinished(by_future)):
        done, not_done = some_done(by_future.keys(), _unfinished(by_future), timeout, return_when)
    return _handles(by_future, done), _handles(by_future, not_done)


def as_completed(handles: Iterable[Handle], timeout: float | None = None) -> Iterator[Handle]:
    """Yield each handle as its task ends; raises TimeoutError after `timeout` seconds in all."""
    by_future = _by_future(handles)
    with naming(_unfinished(by_future)):
        for future in as_done({future: same[0].id for future, same in by_future.items()}, timeout):
            yield from by_future[future]


def _unfinished(by_future: dict[futures.Future[Outcome], list[Handle]]) -> Iterator[str]:
    """Yield the ids of the tasks that have not ended when it is read."""
    return (handle.id for future, same in by_future.items() if not future.done() for handle in same)


def several(handles: Iterable[Handle]) -> Iterable[Handle]:
    """Return the handles; raises TypeError for a single one, whose items would be waited for."""
    if isinstance(handles, Handle):
        raise TypeError(f"give a list of handles, not {handles!r}")
    return handles


def _by_future(handles: Iterable[Handle]) -> dict[futures.Future[Outcome], list[Handle]]:
    found: dict[futures.Future[Outcome], list[Handle]] = {}
    for handle in dict.fromkeys(several(handles)):
        found.setdefault(handle.future(), []).append(handle)
    return found


def _handles(
    by_future: dict[futures.Future[Outcome], list[Handle]], chosen: Iterable[futures.Future[Outcome]]
) -> set[Handle]:
    return {handle for future in chosen for handle in by_future[future]}
