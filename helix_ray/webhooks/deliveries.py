"""What became of each message, for its owner; and how long the outbox remembers it.

A request is shown as it was: its body is made again from the journal, and secrets are masked.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from helix_ray.webhooks.ended_counts import ended_among, take_ended
from helix_ray.webhooks.messages import STATES, HookMessage, Match, Try
from helix_ray.webhooks.outbox_file import Transaction

# Messages that one pass of pruning removes: some milliseconds.
PRUNE_ROWS = 500
# The newest of each come from an index, whatever else is kept. Those that wait for their first try are in
# order in `due`: an index of all that wait would cost every message something.
_INDEXES: dict[str | None, tuple[str, ...]] = {
    None: ("WHERE true",),
    "waiting": (
        "INDEXED BY due WHERE state = 0 AND due_at = 0",
        "INDEXED BY tried WHERE state = 0 AND due_at > 0",
    ),
    "sending": ("INDEXED BY sending WHERE state = 1",),
    "delivered": ("INDEXED BY delivered WHERE state = 2",),
    "failed": ("INDEXED BY failed WHERE state = 3",),
    "dropped": ("INDEXED BY dropped WHERE state = 4",),
}
_PAGE = "AND hook = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
_SEQ_END = 2**62


class Delivery(NamedTuple):
    """A message with what became of it."""

    message: HookMessage
    state: str
    due_at: float
    ended_at: float | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Again:
    """A request to send again what a webhook wanted of some facts; `asked_at` is its own seq."""

    hook: str
    asked_at: int
    after: int
    through: int


class Deliveries:
    """The rows of the outbox as its log; shares the connection of a HookOutbox, on its thread."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con

    def listed(self, hook: str, state: str | None, before: int | None, limit: int) -> list[Delivery]:
        """Return deliveries of a webhook, newest fact first, before a seq."""
        values = [hook, _SEQ_END if before is None else before, limit]
        found = [row for index in _INDEXES[state] for row in self._deliveries(f"{index} {_PAGE}", values)]
        return sorted(found, key=lambda one: -one.message.seq)[:limit]

    def one(self, hook: str, seq: int) -> Delivery | None:
        """Return a delivery; None where the outbox does not know it."""
        return next(iter(self._deliveries("WHERE hook = ? AND seq = ?", [hook, seq])), None)

    def tries(self, hook: str, seq: int) -> list[Try]:
        """Return the tries of a message, oldest first."""
        rows = self._con.execute(
            "SELECT at, try, seconds, status, failure, reason, address, headers, body FROM tries "
            "WHERE hook = ? AND seq = ? ORDER BY at",
            (hook, seq),
        )
        return [Try(*row) for row in rows]

    def last_try(self, hook: str, seq: int) -> Try | None:
        """Return the newest try of a message."""
        return next(reversed(self.tries(hook, seq)), None)

    def ended(self, hook: str) -> dict[str, int]:
        """Return how many messages of a webhook are kept in each state that is an end."""
        found = self._con.execute("SELECT state, count FROM ended_counts WHERE hook = ?", (hook,))
        return {STATES[state]: count for state, count in found}

    def _deliveries(self, which: str, values: Sequence[Any]) -> list[Delivery]:
        rows = self._con.execute(
            f"SELECT hook, seq, event, number, tries, state, due_at, ended_at, why FROM messages {which}",
            values,
        )
        return [Delivery(HookMessage(*row[:5]), STATES[row[5]], *row[6:]) for row in rows]

    # ------------------------------------------------------------------------------------------ pruning

    def prune(self, before: float, bytes_max: int) -> bool:
        """Forget messages that ended before a time, and the oldest ones of a file that is too large.

        Say whether there may be more to forget.
        """
        (pages,) = self._con.execute("PRAGMA page_count").fetchone()
        (free,) = self._con.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = self._con.execute("PRAGMA page_size").fetchone()
        which, values = "ended_at < ?", [before]
        if (pages - free) * page_bytes > bytes_max:
            which, values = "ended_at IS NOT NULL", []
        with Transaction(self._con):
            rows = self._con.execute(
                f"SELECT hook, seq, state FROM messages INDEXED BY ended WHERE state > 1 AND {which} "
                "ORDER BY ended_at LIMIT ?",
                (*values, PRUNE_ROWS),
            ).fetchall()
            keys = [row[:2] for row in rows]
            self._con.executemany("DELETE FROM tries WHERE hook = ? AND seq = ?", keys)
            self._con.executemany("DELETE FROM messages WHERE hook = ? AND seq = ?", keys)
            take_ended(self._con, Counter((hook, state) for hook, _, state in rows))
        return len(rows) == PRUNE_ROWS

    # ------------------------------------------------------------------------------------------ once more

    def ask(self, again: Again) -> None:
        """Keep a request to send again; one that is known stays as it is."""
        with Transaction(self._con):
            self._con.execute(
                "INSERT OR IGNORE INTO again VALUES (?, ?, ?, ?)",
                (again.hook, again.asked_at, again.after, again.through),
            )

    def asked(self) -> list[Again]:
        """Return the requests that are still to be carried out."""
        return [Again(*row) for row in self._con.execute("SELECT * FROM again ORDER BY asked_at")]

    def moved(self, again: Again, through: int, matches: Sequence[Match]) -> int:
        """Let messages up to a seq be sent again, and keep what is left of the request.

        Return how many messages wait that did not.
        """
        with Transaction(self._con):
            take_ended(self._con, ended_among(self._con, again.hook, [match.seq for match in matches]))
            added = self._con.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, NULL, 0, 0, 0, 1, NULL, NULL) "
                "ON CONFLICT (hook, seq) DO UPDATE SET state = 0, tries = 0, due_at = 0, asked = 1, "
                "why = NULL, ended_at = NULL WHERE state > 1",
                [(again.hook, match.seq, match.event) for match in matches],
            ).rowcount
            self._con.execute(
                "UPDATE again SET after = ? WHERE hook = ? AND asked_at = ?",
                (through, again.hook, again.asked_at),
            )
            self._con.execute(
                "DELETE FROM again WHERE after >= through OR hook NOT IN (SELECT id FROM hooks)"
            )
        return added
