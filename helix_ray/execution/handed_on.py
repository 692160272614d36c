"""The trace that Python code of an attempt finds in its environment, as commands do."""

from __future__ import annotations

import os

from helix_ray.core.traceparent import VARIABLE


def begin() -> None:
    """Forget the trace within which the server was started: it is not that of its tasks."""
    os.environ.pop(VARIABLE, None)


def install(traceparent: str | None) -> None:
    """Set the variable while an attempt runs that has a trace; None removes it."""
    if traceparent is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = traceparent
