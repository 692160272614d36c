"""When a node that is cut off ends what it runs: its attempts run elsewhere by then, and must
not go on for ever.

Silence is judged from the last acknowledged heartbeat's *sending*: a lease is renewed no later than that. The
limit is several leases long, so a master that stalls or starts again ends nothing.
"""

from __future__ import annotations


class Fence:
    """One node's patience, by monotonic time."""

    def __init__(self, patience_s: float, now: float) -> None:
        self._patience_s = patience_s
        self._heard = now

    def acknowledged(self, sent_at: float) -> None:
        """Note that a heartbeat was acknowledged, by the time at which it was sent."""
        self._heard = max(self._heard, sent_at)

    def due(self, now: float) -> bool:
        """Say whether the silence has lasted for too long."""
        return now - self._heard > self._patience_s
