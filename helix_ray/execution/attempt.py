"""Runs one attempt of a function, an inference or work on a model from start to outcome; starter/ runs
commands."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from helix_ray.execution import acting, blocking, handed_on
from helix_ray.execution.allow import Allow
from helix_ray.execution.assignment import (
    Assignment,
    ErrorInfo,
    Finished,
    Outcome,
    ReportItem,
    Started,
)
from helix_ray.execution.command_spec import BadCommand, timeout_s
from helix_ray.execution.deadline import Deadline
from helix_ray.execution.failure import describe
from helix_ray.execution.function import FunctionRunner, Keep
from helix_ray.execution.model_work import KINDS, run_model_work
from helix_ray.execution.output import OutputCapture
from helix_ray.execution.own_folder import OwnFolder
from helix_ray.execution.progress import Sink, TaskInfo, install, progress, raise_if_cancelled
from helix_ray.execution.result_file import outcome_of
from helix_ray.execution.surroundings import ProcessSurroundings
from helix_ray.execution.wear import Bounds, Wear
from helix_ray.inference.onnx import InferenceRefused, ModelStore
from helix_ray.inference.sources import Sources

if TYPE_CHECKING:
    from helix_ray.core.inference_result import InferenceResult
    from helix_ray.inference.running import Part

ROWS_EVERY_S = 1.0
"""How often an inference reports the rows that are done."""

UNBOUNDED = Bounds(tasks_max=sys.maxsize, growth_mb_max=sys.maxsize)


class Running:
    """A running attempt, and the handle to cancel it."""

    def __init__(self, assignment: Assignment, emit: Callable[[ReportItem], None]) -> None:
        self.assignment = assignment
        self.sink = Sink(TaskInfo(assignment.task_id, assignment.attempt, assignment.shard), emit)
        self.waits = blocking.AttemptWaits(assignment.task_id, assignment.attempt, emit)

    def cancel(self, reason: str) -> None:
        """End the attempt: the function's next call of `progress` raises. Thread safe."""
        self.sink.cancelled = self.sink.cancelled or reason


class AttemptRunner:
    """Runs attempts one after another on the thread that made it."""

    def __init__(
        self,
        allow: Allow,
        models: ModelStore,
        emit: Callable[[ReportItem], None],
        emit_now: Callable[[ReportItem], None],
        bounds: Bounds = UNBOUNDED,
        keep: Keep | None = None,
        folder: Callable[[], OwnFolder] | None = None,
    ) -> None:
        """`folder` makes the working directory of this process's functions."""
        self._make_folder = folder
        self._folder: OwnFolder | None = None
        self._models = models
        self._bounds = bounds
        self._emit = emit
        self._emit_now = emit_now
        self._deadline = Deadline()
        self._functions = FunctionRunner(
            allow, self._deadline, keep=keep, yield_bytes_max=bounds.yield_bytes_max
        )
        self._output = OutputCapture()
        # Only a process of its own can be put back as it was.
        self._owns_process = threading.current_thread() is threading.main_thread()
        self._surroundings: ProcessSurroundings | None = None
        self._wear: Wear | None = None
        if self._owns_process:
            self._output.install()

    def run(self, running: Running) -> bool:
        """Run the attempt and emit what is said of it; never raises the attempt's errors.

        Return whether this process may run another attempt.
        """
        task = running.assignment
        started_at = time.time()
        try:
            outcome = self._outcome(running)
        except Exception as error:
            outcome = Outcome(False, error=describe(error))
        running.sink.flush()
        spent, may_still_run = self._put_back()
        without_folder = self._end_folder(task)
        spent = spent or without_folder
        # By then nothing of the attempt writes any more.
        outcome = _with_output(outcome, *self._output.end())
        ended_at = time.time()
        self._emit(Finished(task.task_id, task.attempt, outcome, started_at, ended_at, spent, may_still_run))
        return spent is None

    def run_together(self, batch: Sequence[Running]) -> bool:
        """Run inferences as one batch (together.py); each is reported as if it had run alone, one after
        another. Return whether this process may run another attempt."""
        started_at = time.time()
        self._make_ready()
        outcomes = self._inferred_together([each.assignment for each in batch])
        ended_at = time.time()
        spent, may_still_run = self._put_back()
        for running, outcome in zip(batch, outcomes, strict=True):
            task = running.assignment
            # Only behind the last one does the process end.
            end = (spent, may_still_run) if running is batch[-1] else ()
            self._emit(Finished(task.task_id, task.attempt, outcome, started_at, ended_at, *end))
        return spent is None

    def _inferred_together(self, tasks: Sequence[Assignment]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        def call() -> Outcome:
            # Here, because it loads numpy.
            from helix_ray.inference.batching import infer_together

            ended = infer_together(self._models, [task.run for task in tasks], _part_of(tasks[0]))
            outcomes.extend(map(self._inferred, tasks, ended))
            return Outcome(True)

        whole = self._functions.guard(call, None)
        return outcomes if whole.ok else [whole for _ in tasks]

    def interrupt(self) -> None:
        """Interrupt the running Python code. Thread safe."""
        self._deadline.interrupt()

    def close(self) -> None:
        """Restore stdout and stderr and end the deadline's thread; safe to call twice."""
        self._output.uninstall()
        self._deadline.close()
        if self._folder is not None:
            self._folder.remove()

    def _put_back(self) -> tuple[str | None, bool]:
        """Make the process what it was before its first function; return why it must be replaced, or None,
        and whether something of the function may still run in it."""
        if self._surroundings is None or self._wear is None:
            return None, False
        try:
            if left := self._surroundings.end_what_was_left():
                return left, True
            return self._surroundings.put_back() or self._interrupted() or self._wear.add(), False
        except Exception as error:  # a function can take anything of ours away
            return f"it cannot be compared with what it was: {type(error).__name__}: {error}", True

    def _end_folder(self, task: Assignment) -> str | None:
        """Keep what the attempt left in its folder; return why the next one has none, or None."""
        try:
            if self._folder is not None and self._folder.end(task.task_id, task.attempt):
                assert self._surroundings is not None
                self._surroundings.moved()
        except OSError as error:
            return f"it has no folder for the next one: {error}"
        return None

    def _interrupted(self) -> str | None:
        """Say whether time was up: that may hit an import in the middle, and cannot be put back."""
        return "it was interrupted at its time limit" if self._deadline.fired else None

    def _outcome(self, running: Running) -> Outcome:
        task = running.assignment
        kind = "function" if task.payload is not None else task.run.get("kind")
        if task.timeout_s is not None or "timeout_s" in task.run:
            # The watch outside must be armed before the user's code can keep this process busy.
            self._emit_now(Started(task.task_id, task.attempt))
        if kind == "function":
            return self._in_process(running, self._functions.run)
        if kind == "inference":
            return self._in_process(running, self._infer)
        if kind in KINDS:
            return self._in_process(running, self._model_work)
        return _bad_spec(f"run.kind must be function or inference, not {kind!r}")

    def _in_process(self, running: Running, call: Callable[[Assignment], Outcome]) -> Outcome:
        task = running.assignment
        try:
            task = _with_own_limit(task)
        except BadCommand as error:
            return _bad_spec(str(error))
        self._make_ready()
        install(running.sink)
        blocking.install(running.waits)
        acting.begin(task)
        if task.traceparent is not None:
            handed_on.install(task.traceparent)
        self._output.begin(task)
        try:
            return call(task)
        finally:
            install(None)
            blocking.install(None)
            acting.end()
            if task.traceparent is not None:
                handed_on.install(None)

    def _make_ready(self) -> None:
        """Note what the process is before its first attempt."""
        if self._owns_process and self._surroundings is None:
            if self._make_folder is not None:
                self._folder = self._make_folder()
            self._surroundings, self._wear = ProcessSurroundings(), Wear(self._bounds)

    def _infer(self, task: Assignment) -> Outcome:
        def call() -> Outcome:
            # Here, because it loads numpy: most executors run functions only.
            from helix_ray.inference.running import infer

            try:
                return self._inferred(task, infer(self._models, task.run, _part_of(task)))
            except InferenceRefused as error:
                return self._inferred(task, error)

        return self._functions.guard(call, task.timeout_s)

    def _inferred(self, task: Assignment, ended: InferenceResult | InferenceRefused) -> Outcome:
        if isinstance(ended, InferenceRefused):
            return _bad_spec(str(ended), type(ended).__name__)
        return outcome_of(task, ended, self._bounds.result_inline_bytes_max)

    def _model_work(self, task: Assignment) -> Outcome:
        return self._functions.guard(lambda: run_model_work(task, self._models.cpus), task.timeout_s)


def _part_of(task: Assignment) -> Part:
    from helix_ray.inference.running import Part

    files = {digest: Path(task.blobs_dir) / digest for digest in task.blobs}
    sources = Sources(files, task.input_dirs)
    return Part(shard=task.shard, version=task.model_files, sources=sources, advance=_RowsDone())


class _RowsDone:
    """Reports rows as the attempt's progress, once in a while: each report is a commit of the master, and an
    attempt that is short or at its end has a better one, its outcome."""

    def __init__(self) -> None:
        self._next = time.monotonic() + ROWS_EVERY_S

    def __call__(self, done: int, total: int) -> None:
        """Raises Cancelled, so that a cancel comes between batches."""
        if (now := time.monotonic()) < self._next:
            raise_if_cancelled()
            return
        self._next = now + ROWS_EVERY_S
        progress(done, total, f"{done:,} of {total:,} rows")


def _with_own_limit(task: Assignment) -> Assignment:
    """Return the assignment with the shorter of its own and its run object's time limit."""
    if "timeout_s" not in task.run:
        return task
    limits = [limit for limit in (timeout_s(task.run), task.timeout_s) if limit is not None]
    return replace(task, timeout_s=min(limits, default=None))


def _with_output(outcome: Outcome, log_bytes: int, tail: str | None) -> Outcome:
    return replace(outcome, output_tail=tail, log_bytes=log_bytes) if log_bytes else outcome


def _bad_spec(message: str, kind: str = "BadSpec") -> Outcome:
    return Outcome(False, error=ErrorInfo("bad_spec", kind, message))
