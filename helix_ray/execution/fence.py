"""Decides when a node that is cut off ends its attempts: by then they run elsewhere,
and must not run for ever.

The silence begins when the last acknowledged heartbeat was *sent*: its lease was renewed after that. The
limit is several leases long, so a stall or restart of the master does not end attempts.
"""

from __future__ import annotations


class Fence:
    """The time limit of one node, by monotonic time."""

    def __init__(self, patience_s: float, now: float) -> None:
        self._patience_s = patience_s
        self._heard = now

    def acknowledged(self, sent_at: float) -> None:
        """Record an acknowledged heartbeat by the time at which it was sent."""
        self._heard = max(self._heard, sent_at)

    def due(self, now: float) -> bool:
        """Say whether the silence has lasted for too long."""
        return now - self._heard > self._patience_s
