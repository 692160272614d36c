"""The record of a request to erase, as the state keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Erasure:
    """A request to erase what concerns some tasks and users. `seq` is the request's, `by` and `request_id`
    are its author's, `facts` is the number of bodies erased so far."""

    id: str
    tasks: list[str]
    users: list[str]
    reason: str
    seq: int
    by: str
    request_id: str
    requested_at: float
    facts: int = 0
    kept: int = 0
    copies: list[str] = field(default_factory=list)
    completed_at: float | None = None
