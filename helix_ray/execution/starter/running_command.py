"""One attempt of a command: its output, its limits and what came of it. No processes here; lane.py has
the cell.

    started -> (output)* -> ended
               stop, at its time limit or a cancel: SIGTERM to all, then after its grace SIGKILL to all

An attempt has ended when no process of it is left. Its exit code is known by then, or it is a loss.
"""

from __future__ import annotations

import os
import time
from typing import Literal, TypeAlias

from helix_ray.execution.assignment import Assignment, ErrorInfo, Finished, Outcome, Reason
from helix_ray.execution.command_spec import CommandSpec
from helix_ray.execution.exit_code import describe_exit
from helix_ray.execution.log import AttemptLog, log_path

READ_BYTES_MAX = 64 * 1024
DRAIN_BYTES_MAX = 1024 * 1024
"""Read after the end at most, in bytes: what a pipe can hold, so an escaped writer cannot keep us."""

Step: TypeAlias = Literal["terminate", "kill"]


class RunningCommand:
    """An attempt that is being run; `now` is monotonic seconds everywhere."""

    def __init__(self, assignment: Assignment, spec: CommandSpec, log_bytes_max: int, grace_s: float) -> None:
        self.assignment = assignment
        self.spec = spec
        self.deadline: float | None = None
        self.output, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.output, False)
        self._log = AttemptLog(
            log_path(assignment.log_dir, assignment.task_id, assignment.attempt), log_bytes_max
        )
        limits = [limit for limit in (spec.timeout_s, assignment.timeout_s) if limit is not None]
        self._timeout_s = min(limits, default=None)
        self._grace_s = grace_s
        self._stopped: Reason | None = None
        self._why = ""
        self._started_at = time.time()

    def started(self, now: float) -> None:
        """Begin to count its time, and leave the pipe to the command."""
        self._started_at = time.time()
        if self._timeout_s is not None and self._stopped is None:
            self.deadline = now + self._timeout_s

    def read(self) -> bool:
        """Move what is in the pipe to the log; False at its end."""
        try:
            data = os.read(self.output, READ_BYTES_MAX)
        except BlockingIOError:
            return True
        if data:
            self._log.write(data)
        return bool(data)

    def cancel(self, reason: str, now: float) -> Step | None:
        """Stop it; a second time changes nothing."""
        return self._stop("cancelled", reason, now) if self._stopped is None else None

    def due(self, now: float) -> Step | None:
        """Return the step whose time has come."""
        if self.deadline is None or now < self.deadline:
            return None
        if self._stopped is None:
            return self._stop("timeout", f"timed out after {self._timeout_s} s", now)
        self.deadline = None
        return "kill"

    def stop_for(self, reason: Reason, message: str) -> None:
        """Note that it is killed for a reason of its own."""
        if self._stopped is None:
            self._stopped, self._why, self.deadline = reason, message, None

    def ended(self, status: int) -> Finished:
        """Return what came of it; `status` is as wait(2) has it."""
        exit_code = os.waitstatus_to_exitcode(status)
        self._drain()
        if self._stopped is not None:
            return self._finished(self._failure(self._stopped, _KINDS[self._stopped], self._why, exit_code))
        if exit_code == 0:
            tail, written = self._log.tail(), self._log.written_bytes
            return self._finished(Outcome(True, None, None, None, 0, tail, written))
        return self._finished(self._failure("failed", "CommandFailed", describe_exit(exit_code), exit_code))

    def refused(self, message: str) -> Finished:
        """Return that it could not be started, and why."""
        return self._finished(self._failure("bad_spec", "BadCommand", message, None))

    def lost(self, message: str) -> Finished:
        """Return that its end is not known; one that was stopped has ended as it should."""
        self._drain()
        if self._stopped is not None:
            return self._finished(self._failure(self._stopped, _KINDS[self._stopped], self._why, None))
        return self._finished(self._failure("lost", "CellDied", message, None))

    def close(self) -> None:
        """Close what it holds; safe to call twice."""
        self._log.close()
        self.close_writer()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def close_writer(self) -> None:
        """Close our copy of the command's end of the pipe."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def _stop(self, reason: Reason, why: str, now: float) -> Step:
        self._stopped, self._why = reason, why
        self.deadline = now + self._grace_s
        return "terminate"

    def _drain(self) -> None:
        before = self._log.written_bytes
        while self._log.written_bytes - before < DRAIN_BYTES_MAX:
            at = self._log.written_bytes
            if not self.read() or self._log.written_bytes == at:
                return

    def _failure(self, reason: Reason, kind: str, message: str, exit_code: int | None) -> Outcome:
        error = ErrorInfo(reason, kind, message)
        return Outcome(False, None, None, error, exit_code, self._log.tail(), self._log.written_bytes)

    def _finished(self, outcome: Outcome) -> Finished:
        task = self.assignment
        return Finished(task.task_id, task.attempt, outcome, self._started_at, time.time())


_KINDS: dict[Reason, str] = {"timeout": "TimedOut", "cancelled": "Cancelled", "memory": "OutOfMemory"}
