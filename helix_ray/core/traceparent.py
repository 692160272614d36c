"""`traceparent` of W3C Trace Context: which trace a task belongs to, and what of it came before.

https://www.w3.org/TR/trace-context/ (level 1): a value that is not valid is ignored, as if there were none.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

# The variable in which programs hand it on to those that they start.
VARIABLE = "TRACEPARENT"
SAMPLED = 0x01

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
# A version that will never be.
_NO_VERSION = "ff"
_KNOWN_VERSION = "00"
# More than any version is likely to need.
_CHARS_MAX = 512


class TraceParent(NamedTuple):
    """Ids in hexadecimal: 32 digits of the trace, 16 of the span within which something was asked for."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def is_sampled(self) -> bool:
        """Say whether whoever began the trace records it."""
        return bool(self.flags & SAMPLED)

    @property
    def text(self) -> str:
        """The value in the version that is known here."""
        return f"{_KNOWN_VERSION}-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def below(self, span_id: str) -> TraceParent:
        """Return what is handed on within another span of the trace."""
        return self._replace(span_id=span_id)


def parse(text: str) -> TraceParent | None:
    """Return the parts of a value; None where it is not valid.

    Of a later version only what this one knows is used, as section 3.2 demands.
    """
    found = _SHAPE.fullmatch(text.strip(" \t")) if len(text) <= _CHARS_MAX else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _KNOWN_VERSION and more is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    known = 0xFF if version == _KNOWN_VERSION else SAMPLED
    return TraceParent(trace_id, span_id, int(flags, 16) & known)


def span_id_of(*names: object) -> str:
    """Return the id of the span with these names: the same each time, so a span that is sent twice is one."""
    return sha256("\0".join(map(str, names)).encode()).hexdigest()[:16]


def task_span_id(task_id: str) -> str:
    """Return the id of a task's span."""
    return span_id_of("task", task_id)


def attempt_span_id(task_id: str, attempt: int) -> str:
    """Return the id of an attempt's span."""
    return span_id_of("attempt", task_id, attempt)
