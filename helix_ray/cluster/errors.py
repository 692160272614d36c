"""What the Python API raises beside the exceptions of the tasks themselves.
Constructors are positional: they pickle.

Exception
  +-- Refused              (helix_ray.core.errors) the control plane refused: a code, a message, details
  +-- ClusterError
        +-- ClusterUnavailable   no control plane answers
        +-- TaskFailedError      a task failed and its exception could not come back as it was raised
        +-- TaskCancelledError   a task was cancelled
        +-- ResultLostError      a large result was kept on a node that is gone
        +-- PayloadTooLarge      a function with its arguments is over the limit
"""

from __future__ import annotations

from typing import Any

from helix_ray.core.errors import ErrorCode, Refused, Rejected


class ClusterError(Exception):
    """Something between this process and its tasks went wrong."""


class ClusterUnavailable(ClusterError):
    """No control plane answers."""


class TaskFailedError(ClusterError):
    """A task failed; `error` is what the control plane knows, `result` what a
    command left (output, exit code)."""

    def __init__(self, task_id: str, error: dict[str, Any], result: Any = None) -> None:
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
        """What the exception said."""
        return str(self.error.get("message") or "")

    @property
    def traceback(self) -> str | None:
        """Where it was raised, as text."""
        return self.error.get("traceback")

    def __str__(self) -> str:
        trace = f"\n{self.traceback}" if self.traceback else ""
        return f"{self.task_id}: {self.type}: {self.message}{trace}"


class TaskCancelledError(ClusterError):
    """A task was cancelled before it was done."""


class ResultLostError(ClusterError):
    """A large result was kept on a node that is gone; run the task again."""


class PayloadTooLarge(ClusterError):
    """A function with its arguments is over the limit."""


def raised(refusal: Rejected) -> Exception:
    """Return the exception of a refusal: whoever does not respond is ClusterUnavailable,
    a refused order is Refused."""
    if refusal.code is not ErrorCode.SERVICE_UNAVAILABLE:
        return Refused(refusal)
    reason = refusal.details.get("reason")
    return ClusterUnavailable(f"{refusal.message}: {reason}" if reason else refusal.message)
