"""Runs one command in its own session and process group, with its output in the attempt's log.

The steps of a run, in a single select loop (output, exit, cancel, deadlines) without polling:
1. start: scrubbed environment, own session, killed by the kernel if the executor dies;
2. stop, on timeout or cancel: SIGTERM to the group, `grace_s`, SIGKILL to the group;
3. exit of the leader: the rest of its group is killed (after a stop, when the grace period is over);
4. end: only when the whole group is gone is the leader reaped and the outcome returned. Until then the
   kernel cannot reuse the group's id, so a signal can never reach a foreign process.
A process that leaves the group (setsid) cannot be reached; nothing waits for it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

from helix_ray.execution.assignment import Assignment, ErrorInfo, Outcome, Reason
from helix_ray.execution.command_spec import BadCommand, CommandSpec, find_program, parse
from helix_ray.execution.environment import command_environment, launch_prefix
from helix_ray.execution.log import LOG_BYTES_MAX, AttemptLog, log_path
from helix_ray.execution.process_group import member_handles, signal_group

GRACE_S = 3.0
"""From SIGTERM to SIGKILL, in seconds."""

KILL_WAIT_S = 5.0
"""How long a killed group may take to end, in seconds; uninterruptible sleep may last for ever."""

READ_BYTES_MAX = 64 * 1024
DRAIN_BYTES_MAX = 1024 * 1024
"""Read after the end at most, in bytes: what a pipe can hold, so an escaped writer cannot keep us."""

StopReason: TypeAlias = Literal["timeout", "cancelled"]


def _no_callback(pgid: int) -> None:
    """Take a group id and do nothing."""


class CommandProcess:
    """One run of a command: call `run` once, on a thread that lives as long as the executor;
    `cancel` from any thread.

    `on_start` gets the process group's id as soon as it exists.
    """

    def __init__(
        self,
        assignment: Assignment,
        on_start: Callable[[int], None] = _no_callback,
        *,
        log_bytes_max: int = LOG_BYTES_MAX,
        grace_s: float = GRACE_S,
    ) -> None:
        self._assignment = assignment
        self._on_start = on_start
        self._grace_s = grace_s
        path = log_path(assignment.log_dir, assignment.task_id, assignment.attempt)
        self._log = AttemptLog(path, log_bytes_max)
        self._lock = threading.Lock()  # guards _wake, _cancelled, _at_once
        self._wake: int | None = None
        self._cancelled: str | None = None
        self._at_once = False

    def cancel(self, reason: str = "cancelled", *, at_once: bool = False) -> None:
        """End the group; `reason` becomes the error's message, at_once skips SIGTERM and the
        grace period. Thread safe."""
        with self._lock:
            self._cancelled = self._cancelled or reason
            self._at_once = self._at_once or at_once
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def run(self) -> Outcome:
        """Run to the end and return the outcome; never raises the command's errors."""
        if self._cancelled is not None:
            return Outcome(False, error=ErrorInfo("cancelled", "Cancelled", self._cancelled))
        try:
            spec = parse(self._assignment.run)
            process, output = self._start(spec)
        except (BadCommand, OSError) as error:
            return Outcome(False, error=ErrorInfo("bad_spec", type(error).__name__, str(error)))
        limits = [limit for limit in (spec.timeout_s, self._assignment.timeout_s) if limit is not None]
        watch = _Watch(process.pid, output, self._log, min(limits, default=None), self._grace_s)
        try:
            self._on_start(process.pid)
            self._follow(watch)
        finally:
            signal_group(process.pid, signal.SIGKILL)
            exit_code = process.wait()
            watch.close()
            self._log.close()
        return self._outcome(exit_code, watch)

    def _start(self, spec: CommandSpec) -> tuple[subprocess.Popen[bytes], int]:
        task = self._assignment
        env = command_environment(spec.env, task.task_id, task.attempt, os.environ, task.shard)
        program = find_program(spec.argv, env["PATH"], spec.working_dir)
        argv = [*launch_prefix(os.getpid()), program, *spec.argv[1:]]
        output, writer = os.pipe()
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=env, cwd=spec.working_dir,
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(writer)
        os.set_blocking(output, False)
        return process, output

    def _follow(self, watch: _Watch) -> None:
        wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with self._lock:
            self._wake = wake
            if self._cancelled is not None:
                os.eventfd_write(wake, 1)
        try:
            watch.until_gone(wake, self._take_cancel)
        finally:
            with self._lock:
                self._wake = None
            os.close(wake)

    def _take_cancel(self) -> bool:
        assert self._wake is not None
        with self._lock:
            os.eventfd_read(self._wake)
            return self._at_once

    def _outcome(self, exit_code: int, watch: _Watch) -> Outcome:
        if watch.stopped is not None:
            message = (
                f"timed out after {watch.timeout_s} s" if watch.stopped == "timeout" else str(self._cancelled)
            )
            kind = "TimedOut" if watch.stopped == "timeout" else "Cancelled"
            return self._failure(watch.stopped, kind, message, exit_code)
        if exit_code == 0:
            return Outcome(True, None, None, None, 0, self._log.tail(), self._log.written_bytes)
        return self._failure("failed", "CommandFailed", describe_exit(exit_code), exit_code)

    def _failure(self, reason: Reason, kind: str, message: str, exit_code: int) -> Outcome:
        error = ErrorInfo(reason, kind, message)
        return Outcome(False, None, None, error, exit_code, self._log.tail(), self._log.written_bytes)


def describe_exit(exit_code: int) -> str:
    """Describe an exit code; a negative one is the signal that ended the process."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with contextlib.suppress(ValueError):
        return f"ended by signal {signal.Signals(-exit_code).name}"
    return f"ended by signal {-exit_code}"


class _Watch:
    """Follows a process group until it is gone; see the steps in the module's docstring."""

    def __init__(
        self, pgid: int, output: int, log: AttemptLog, timeout_s: float | None, grace_s: float
    ) -> None:
        self.timeout_s = timeout_s
        self.stopped: StopReason | None = None
        self._pgid = pgid
        self._output = output
        self._log = log
        self._grace_s = grace_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._killed = False
        self._leader_gone = False
        self._living: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._watch(output, self._read)
        leader = os.pidfd_open(pgid)
        self._living.add(leader)
        self._watch(leader, partial(self._on_leader_exit, leader))

    def until_gone(self, wake: int, take_cancel: Callable[[], bool]) -> None:
        """Return when the group is gone; a readable `wake` means a cancel."""
        self._watch(wake, lambda: self._on_cancel(take_cancel()))
        while self._living:
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            for key, _ in self._selector.select(left):
                key.data()
            if self._deadline is not None and time.monotonic() >= self._deadline and not self._on_deadline():
                break
        self._drain()

    def close(self) -> None:
        """Close the file descriptors."""
        self._selector.close()
        for handle in (self._output, *self._living):
            os.close(handle)

    def _watch(self, descriptor: int, then: Callable[[], Any]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, then)

    def _read(self) -> int:
        """Copy available output to the log and return the number of bytes; at the end of
        the pipe stop watching it."""
        try:
            data = os.read(self._output, READ_BYTES_MAX)
        except BlockingIOError:
            return 0
        if data:
            self._log.write(data)
        elif self._output in self._selector.get_map():
            self._selector.unregister(self._output)
        return len(data)

    def _drain(self) -> None:
        left = DRAIN_BYTES_MAX
        while left > 0 and (count := self._read()):
            left -= count

    def _on_cancel(self, at_once: bool) -> None:
        if self.stopped is None and not self._leader_gone:
            self._stop("cancelled")
        if at_once:
            self._kill()

    def _on_deadline(self) -> bool:
        """Take the next step that is due; False when none is left."""
        if self._killed:
            return False
        if self.stopped is None:
            self._stop("timeout")
        else:
            self._kill()
        return True

    def _stop(self, reason: StopReason) -> None:
        self.stopped = reason
        self._deadline = time.monotonic() + self._grace_s
        signal_group(self._pgid, signal.SIGTERM)

    def _kill(self) -> None:
        if self._killed:
            return
        self._killed = True
        self._deadline = time.monotonic() + KILL_WAIT_S
        signal_group(self._pgid, signal.SIGKILL)
        if self._leader_gone:
            self._watch_members()  # processes forked since the last look

    def _on_leader_exit(self, leader: int) -> None:
        self._leader_gone = True
        self._forget(leader)
        if self.stopped is None:
            self._kill()
        else:
            self._watch_members()

    def _watch_members(self) -> None:
        for handle in member_handles(self._pgid):
            self._living.add(handle)
            self._watch(handle, partial(self._on_member_exit, handle))

    def _on_member_exit(self, handle: int) -> None:
        self._forget(handle)
        if not self._living and not self._killed:
            self._watch_members()  # a member may have forked before it ended

    def _forget(self, handle: int) -> None:
        self._selector.unregister(handle)
        self._living.discard(handle)
        os.close(handle)
