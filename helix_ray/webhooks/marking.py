"""How far a webhook has got, found by looking at some of its messages at a time."""

from __future__ import annotations

import sqlite3

from helix_ray.webhooks.messages import HookPlace, Mark

# Messages that are looked at at once: a fraction of a millisecond.
MARK_ROWS = 2_000


def mark_of(con: sqlite3.Connection, hook: str, place: HookPlace, cursor: int) -> Mark | None:
    """Return the mark of a webhook by the tables; None while there are more messages to look at.

    Each call goes on where the last one stopped: everything before that is finished for good.
    """
    waiting, last, count = con.execute(
        "SELECT min(CASE WHEN state < 2 AND asked = 0 THEN seq END), max(seq), count(*) FROM "
        "(SELECT seq, state, asked FROM messages WHERE hook = ? AND seq > ? ORDER BY seq LIMIT ?)",
        (hook, place.finished, MARK_ROWS),
    ).fetchone()
    place.finished = (last or place.finished) if waiting is None else waiting - 1
    if waiting is None and count == MARK_ROWS:
        return None
    unfinished = [*place.sending] if waiting is None else [*place.sending, waiting]
    seq = min(unfinished, default=None)
    if seq is None:
        return Mark(cursor if place.cursor is None else place.cursor, place.number)
    (number,) = con.execute("SELECT number FROM messages WHERE hook = ? AND seq = ?", (hook, seq)).fetchone()
    return Mark(seq - 1, place.number if number is None else number - 1)
