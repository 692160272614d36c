"""A thread with an event loop, on which all calls to the control plane run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from helix_ray.cluster.waits import result_of
from helix_ray.execution.own_threads import may_stay

T = TypeVar("T")

STOP_S_MAX = 5.0


class Background:
    """Runs the loop from construction until `stop`, which is safe to call twice."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        may_stay(self._thread)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Say whether calls are accepted."""
        return not self.loop.is_closed()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(
        self, work: Coroutine[Any, Any, T], timeout: float | None = None, *, waits_for: str | None = None
    ) -> T:
        """Run a coroutine on the loop and wait for its result; raises TimeoutError
        after `timeout` seconds. `waits_for` is the id of the task that the coroutine waits for."""
        future = self.start(work)
        try:
            return future.result(timeout) if waits_for is None else result_of(future, waits_for, timeout)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel everything on the loop and end the thread."""
        if self.running and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOP_S_MAX)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.close()
