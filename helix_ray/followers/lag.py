"""How far a follower is behind the journal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower is: `facts` behind the newest that it has heard of."""

    name: str
    cursor: int
    head: int

    @property
    def facts(self) -> int:
        """How many facts it is behind."""
        return max(0, self.head - self.cursor)
