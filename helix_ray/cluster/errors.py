"""The exceptions of the Python API, other than those that tasks raise. Constructors are
positional: they pickle.

Exception
  +-- Refused              (helix_ray.core.errors) the control plane refused: a code, a message, details
  +-- ClusterError
        +-- ClusterUnavailable   the control plane does not respond
        +-- TaskFailedError      a task failed and its exception could not come back as it was raised
        +-- TaskCancelledError   a task was cancelled
        +-- ResultLostError      a large result was kept on a node that is gone
        +-- StreamBroken         a retry yielded fewer items than were read before
        +-- PayloadTooLarge      a function with its arguments, or a command's input, is over the limit
"""

from __future__ import annotations

from typing import Any

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.specs import TaskError


class ClusterError(Exception):
    """An error between this process and its tasks."""


class ClusterUnavailable(ClusterError):
    """The control plane does not respond."""


class TaskFailedError(ClusterError):
    """A task failed; `error` is the control plane's record, `result` that of a
    command (output, exit code)."""

    def __init__(self, task_id: str, error: TaskError, result: Any = None) -> None:
        super().__init__(task_id, error, result)
        self.task_id = task_id
        self.error = error
        self.result = result

    @property
    def type(self) -> str:
        """The qualified name of the exception that was raised, or a short word."""
        return str(self.error.get("type") or self.error.get("reason") or "failed")

    @property
    def message(self) -> str:
        """The message of the exception."""
        return str(self.error.get("message") or "")

    @property
    def traceback(self) -> str | None:
        """The traceback of the exception, as text."""
        return self.error.get("traceback")

    def __str__(self) -> str:
        trace = f"\n{self.traceback}" if self.traceback else ""
        return f"{self.task_id}: {self.type}: {self.message}{trace}"


class TaskCancelledError(ClusterError):
    """A task was cancelled before it completed."""


class ResultLostError(ClusterError):
    """A large result was kept on a node that is gone; run the task again."""


class StreamBroken(ClusterError):
    """A retry yielded fewer items than its reader had from the attempt before."""


class PayloadTooLarge(ClusterError):
    """A function with its arguments, or the input of a command, is over the limit."""


def raised(refusal: Rejected) -> Exception:
    """Return the exception of a refusal: ClusterUnavailable where nothing responds,
    Refused for a refused order."""
    if refusal.code is not ErrorCode.SERVICE_UNAVAILABLE:
        return Refused(refusal)
    reason = refusal.details.get("reason")
    return ClusterUnavailable(f"{refusal.message}: {reason}" if reason else refusal.message)
