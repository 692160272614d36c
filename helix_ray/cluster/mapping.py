"""`map`: yields values in order, and submits tasks in batches, a bounded number ahead of the reader."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from helix_ray.cluster.handles import Handle
from helix_ray.core.specs import TaskSpec

R = TypeVar("R", covariant=True)

BATCH_TASKS_MAX = 500
# Limits the specs of a batch, so that a message to the control plane stays small.
BATCH_BYTES_MAX = 16 * 1024 * 1024
IN_FLIGHT_TASKS_MAX = 2000

Submit = Callable[[Sequence[TaskSpec]], list[Handle]]
Cancel = Callable[[Sequence[Handle]], None]


class Mapped(Generic[R]):
    """An iterator over the values; `close` (or an exception of an item) cancels the rest."""

    def __init__(
        self, submit: Submit, cancel: Cancel, specs: Iterator[TaskSpec], timeout: float | None
    ) -> None:
        self._submit = submit
        self._cancel = cancel
        self._specs = specs
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        self._handles: deque[Handle] = deque()
        self._held: TaskSpec | None = None
        self._exhausted = False
        self._fill()

    def __iter__(self) -> Mapped[R]:
        return self

    def __next__(self) -> R:
        """Return the next value; raises its task's exception, or TimeoutError when the time is over."""
        left = None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())
        try:
            self._fill()
            if not self._handles:
                raise StopIteration
            value: R = self._handles[0].value(left)
        except BaseException:
            self.close()
            raise
        self._handles.popleft()
        return value

    def close(self) -> None:
        """Cancel unfinished tasks, and end the iterator."""
        self._exhausted = True
        left = [handle for handle in self._handles if handle.known() is None]
        self._handles.clear()
        self._cancel(left)

    def _fill(self) -> None:
        while not self._exhausted and len(self._handles) + BATCH_TASKS_MAX <= IN_FLIGHT_TASKS_MAX:
            batch = self._batch()
            if batch:
                handles = self._submit(batch)
                for handle in handles:
                    handle.future()
                self._handles.extend(handles)

    def _batch(self) -> list[TaskSpec]:
        batch: list[TaskSpec] = []
        size = 0
        while len(batch) < BATCH_TASKS_MAX:
            spec = self._held if self._held is not None else next(self._specs, None)
            self._held = None
            if spec is None:
                self._exhausted = True
                break
            run = spec["run"]
            size += len(run.get("payload") or "") if run["kind"] == "function" else 0
            if batch and size > BATCH_BYTES_MAX:
                self._held = spec
                break
            batch.append(spec)
        return batch
