"""How far a follower is behind the journal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lag:
    """The distance of a follower's cursor from the newest fact that it knows of."""

    name: str
    cursor: int
    head: int

    @property
    def facts(self) -> int:
        """The number of facts that it is behind."""
        return max(0, self.head - self.cursor)
