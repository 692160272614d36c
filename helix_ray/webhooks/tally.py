"""What a notifier has done, for /metrics."""

from __future__ import annotations

from collections import Counter


class SendTally:
    """Counts of one process since its start."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failures: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
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
