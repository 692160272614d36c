"""The exit code of a process, in words."""

from __future__ import annotations

import contextlib
import signal


def describe_exit(exit_code: int) -> str:
    """Return an exit code in words; a negative one is the signal that ended the process."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with contextlib.suppress(ValueError):
        return f"ended by signal {signal.Signals(-exit_code).name}"
    return f"ended by signal {-exit_code}"
