"""A span: something that took time, within a trace."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

# Ids, kinds, routes and statuses: nothing that people have written.
Attributes = Mapping[str, str | int | float]


class TraceSpan(NamedTuple):
    """Ids in hexadecimal (an empty parent: the first one of its trace), times in epoch seconds. `kind` is
    whether it answers another program, or asks one."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    began_at: float
    ended_at: float
    kind: Literal["server", "client", "internal"] = "internal"
    failed: bool = False
    attributes: Attributes = MappingProxyType({})
