"""Drops what waits for webhooks that were deleted, or that skip it, some rows at a time.

While all of them were dropped at once, no receiver would be told anything. After a kill in between, deleted
webhooks are found by the messages that still wait, and what is skipped is asked for again at each start.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from helix_ray.webhooks.ended_counts import add_ended
from helix_ray.webhooks.messages import DROPPED

DELETED, SKIPPED = "deleted", "skipped"
# Messages that one portion looks at: some milliseconds.
ROWS_AT_ONCE = 2_000
_SEQ_MAX = 2**62
# A message that was asked for is sent even if those of its time are skipped.
_STATES = {DELETED: "state < 2", SKIPPED: "state = 0 AND asked = 0"}


@dataclass(frozen=True, slots=True)
class Drop:
    """What is to be dropped of a webhook: its messages after one seq and through another."""

    hook: str
    why: str
    after: int = 0
    through: int = _SEQ_MAX


class Drops(dict[str, Drop]):
    """What is still to be dropped, by webhook; shares the connection of a HookOutbox, on its thread."""

    def __init__(self, con: sqlite3.Connection) -> None:
        super().__init__()
        self._con = con

    def add(self, drop: Drop) -> None:
        """Add what is to be dropped of a webhook, in the place of what was before."""
        self[drop.hook] = drop

    def next(self) -> Drop | None:
        """Return what is dropped next."""
        return next(iter(self.values()), None)

    def carry_out(self, drop: Drop, now: float) -> tuple[int, Drop | None]:
        """Drop the next messages in a transaction; return how many, and what is left."""
        last, count = self._con.execute(
            "SELECT max(seq), count(*) FROM "
            "(SELECT seq FROM messages WHERE hook = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?)",
            (drop.hook, drop.after, drop.through, ROWS_AT_ONCE),
        ).fetchone()
        found = self._con.execute(
            "UPDATE messages SET state = 4, ended_at = ?, why = ? "
            f"WHERE hook = ? AND seq > ? AND seq <= ? AND {_STATES[drop.why]}",
            (now, drop.why, drop.hook, drop.after, last or 0),
        )
        if found.rowcount:
            add_ended(self._con, {(drop.hook, DROPPED): found.rowcount})
        left = Drop(drop.hook, drop.why, last, drop.through) if count == ROWS_AT_ONCE else None
        return found.rowcount, left

    def note(self, drop: Drop, left: Drop | None) -> None:
        """Note what is left, after the transaction."""
        del self[drop.hook]
        if left is not None:
            self[left.hook] = left
