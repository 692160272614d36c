"""The warm process that runs attempts: a reader thread takes orders, the calling thread runs them one by one.

At the end of the connection it interrupts the running Python code and returns. It also returns where what a
function left behind cannot be put back (surroundings.py). The node worker kills this process when a cancelled
or timed-out function stays in C beyond the grace period, and what functions had started (descendants.py).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from helix_ray.execution.allow import Allow
from helix_ray.execution.assignment import (
    Assignment,
    Cancel,
    ErrorInfo,
    Finished,
    GiveBack,
    Hello,
    Message,
    Outcome,
    ReportItem,
    Returned,
    Run,
)
from helix_ray.execution.attempt import UNBOUNDED, AttemptRunner, Running
from helix_ray.execution.descendants import mark
from helix_ray.execution.environment import device_variables
from helix_ray.execution.frames import FrameReader
from helix_ray.execution.function import Keep
from helix_ray.execution.outbox import Outbox
from helix_ray.execution.own_folder import OwnFolder
from helix_ray.execution.together import BATCH_WAIT_S, companions, kind_of
from helix_ray.execution.wear import Bounds
from helix_ray.inference.onnx import ModelStore

RECEIVE_BYTES_MAX = 256 * 1024

CANCELLED = "cancelled"
CONNECTION_LOST = "the executor lost the connection to its node worker"


class Executor:
    """Serves one node worker over its Unix domain socket at `connect_path` until its process is spent.

    Construct and serve it on the process's main thread: only then can sleeping functions be interrupted, and
    output of functions goes to their logs.
    """

    def __init__(
        self,
        connect_path: str,
        executor_id: str,
        allow: Allow,
        models: ModelStore,
        bounds: Bounds = UNBOUNDED,
        keep: Keep | None = None,
        folder: Callable[[], OwnFolder] | None = None,
    ) -> None:
        """`keep` hands a large result to the node worker; `folder` makes the functions' working directory."""
        self._folder = folder
        self._keep = keep
        self._bounds = bounds
        self._connect_path = connect_path
        self._executor_id = executor_id
        self._allow = allow
        self._models = models
        self._condition = threading.Condition(threading.Lock())  # guards _queue, _running, _closed
        self._queue: deque[Assignment] = deque()
        self._running: list[Running] = []
        self._closed = False
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def serve(self) -> None:
        """Run attempts until the connection ends; raises OSError where it cannot connect."""
        mark(self._executor_id)
        with self._connection:
            self._connection.connect(self._connect_path)
            self._outbox = Outbox(self._connection)
            self._runner = AttemptRunner(
                self._allow,
                self._models,
                self._outbox.put,
                self._put_now,
                self._bounds,
                self._keep,
                self._folder,
            )
            # A fork that kept the connection would hide this process's death from the node worker.
            os.register_at_fork(after_in_child=self._connection.close)
            self._outbox.send(Hello(self._executor_id, os.getpid(), device_variables()))
            reader = threading.Thread(target=self._read, name="helix-executor-reader", daemon=True)
            reader.start()
            try:
                self._work()
            finally:
                self.stop()
                self._runner.close()
                self._outbox.close()
                reader.join()

    def stop(self) -> None:
        """End the connection, and with it `serve`. Thread safe; safe to call twice."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # not connected any more

    def _work(self) -> None:
        while batch := self._next():
            goes_on = self._runner.run(batch[0]) if len(batch) == 1 else self._runner.run_together(batch)
            if not goes_on or not self._queue:
                self._outbox.flush()
            if not goes_on:
                return

    def _next(self) -> list[Running]:
        """Return what to run next: an attempt, or inferences that run as one batch; nothing at the end."""
        with self._condition:
            self._running = []
            while not self._queue and not self._closed:
                self._condition.wait()
            if self._closed:
                return []
            first = self._queue.popleft()
            if kind_of(first) is not None and not self._queue:
                # Others that were submitted at the same moment may be on their way.
                self._condition.wait(BATCH_WAIT_S)
            batch = [first, *companions(first, self._queue)]
            for _ in batch[1:]:
                self._queue.popleft()
            self._running = [Running(task, self._outbox.put) for task in batch]
            return self._running

    def _put_now(self, item: ReportItem) -> None:
        self._outbox.put(item)
        self._outbox.flush()

    def _read(self) -> None:
        frames = FrameReader()
        try:
            while data := self._connection.recv(RECEIVE_BYTES_MAX):
                for message in frames.feed(data):
                    self._take(message)
        except OSError:
            pass  # the same as its end
        finally:
            self._end()

    def _end(self) -> None:
        with self._condition:
            self._closed = True
            self._queue.clear()
            batch = self._running
            self._condition.notify()
        for running in batch:
            running.cancel(CONNECTION_LOST)
        if batch:
            self._runner.interrupt()

    def _take(self, message: Message) -> None:
        match message:
            case Run():
                with self._condition:
                    self._queue.extend(message.assignments)
                    self._condition.notify()
            case Cancel():
                self._cancel(message)
            case GiveBack():
                with self._condition:
                    queued = tuple((task.task_id, task.attempt) for task in self._queue)
                    self._queue.clear()
                self._outbox.send(Returned(queued))
            case _:
                raise ValueError(f"{type(message).__name__} is not a message for executors")

    def _cancel(self, message: Cancel) -> None:
        with self._condition:
            batch = self._running
            queued = _find(self._queue, message)
            if queued is not None:
                self._queue.remove(queued)
        if queued is not None:
            now = time.time()
            outcome = Outcome(False, error=ErrorInfo("cancelled", "Cancelled", CANCELLED))
            self._put_now(Finished(message.task_id, message.attempt, outcome, now, now))
        for running in batch:
            if _is(running.assignment, message):
                running.cancel(CANCELLED)


def _find(queue: deque[Assignment], message: Cancel) -> Assignment | None:
    return next((task for task in queue if _is(task, message)), None)


def _is(task: Assignment, message: Cancel) -> bool:
    return task.task_id == message.task_id and task.attempt == message.attempt
