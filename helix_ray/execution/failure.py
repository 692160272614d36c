"""Converts an exception of the user's code to data: type, message, traceback, and the pickled
exception where possible."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

import cloudpickle

from helix_ray.execution.assignment import ErrorInfo, Reason

TRACEBACK_CHARS_MAX = 16 * 1024
"""Longest traceback kept; its end says most, so its start is cut."""

MESSAGE_CHARS_MAX = 4 * 1024
EXCEPTION_BYTES_MAX = 1024 * 1024
"""Largest pickled exception, in bytes; above it only type, message and traceback travel."""


class ArgumentsLost(Exception):
    """Arguments of a call that were kept apart from it are gone, so no attempt can run it."""


_OURS = str(Path(__file__).parent)


def describe(error: BaseException, reason: Reason = "failed") -> ErrorInfo:
    """Return the exception as data; never raises, even if its __str__ or __reduce__ do."""
    return ErrorInfo(reason, type_name(error), _message(error), _traceback(error), _pickled(error))


def type_name(error: BaseException) -> str:
    """Return the exception's qualified name, without its module for a built-in one."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as second:
        text = f"<its message could not be formatted: {type_name(second)}>"
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"


def _traceback(error: BaseException) -> str | None:
    try:
        lines = traceback.format_exception(type(error), error, _without_ours(error.__traceback__))
    except Exception:
        return None
    text = "".join(lines)
    return text if len(text) <= TRACEBACK_CHARS_MAX else "…" + text[1 - TRACEBACK_CHARS_MAX :]


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is not this package's."""
    first = trace
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace or first


def _pickled(error: BaseException) -> bytes | None:
    """Return the pickled exception only if it can be unpickled: keyword-only constructors cannot."""
    try:
        data: bytes = cloudpickle.dumps(error)
        if len(data) <= EXCEPTION_BYTES_MAX and type(cloudpickle.loads(data)) is not None:
            return data
    except Exception:
        return None
    return None
