"""What a running task waits for in its code, as the state keeps it."""

from __future__ import annotations

from dataclasses import dataclass

# How many tasks a blocked attempt names at most.
BLOCKED_ON_TASKS_MAX = 1000


@dataclass(slots=True)
class BlockedOn:
    """It goes on when `all` of some tasks have ended, or `any`, or when it says so (`unblocked`): `until`.

    `on` are those that have not ended; they inherit `place`, in seconds, in the queue.
    """

    until: str
    on: set[str]
    place: float
