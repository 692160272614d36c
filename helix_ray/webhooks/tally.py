"""What a notifier has done, for /metrics."""

from __future__ import annotations

from collections import Counter

from helix_ray.outward.outcome import FAILURES
from helix_ray.webhooks.board import NOT_ALLOWED, NOT_WANTED

# A request that could not be made.
ERROR = "error"
ERASED = "erased"
DROPS = (NOT_ALLOWED, NOT_WANTED, ERASED)


class SendTally:
    """Counts of one process since its start, of every class from zero on: a counter that appears with its
    first event has not grown for Prometheus, and alerts miss that."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failures: Counter[str] = Counter(dict.fromkeys((*FAILURES, ERROR), 0))
        self.drops: Counter[str] = Counter(dict.fromkeys(DROPS, 0))
        self.last_at = 0.0

    def tried(self, failure: str | None, now: float) -> None:
        """Count one try; `failure` is the class of its failure."""
        self.last_at = now
        if failure is None:
            self.delivered += 1
        else:
            self.failures[failure] += 1

    def dropped(self, why: str) -> None:
        """Count a message that was dropped."""
        self.drops[why] += 1
