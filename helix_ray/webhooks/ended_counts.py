"""How many messages of each webhook are kept in each state that is an end.

There may be millions, so they are counted as they change, in the transaction that changes them.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

# By webhook and state.
EndCounts = Mapping[tuple[str, int], int]


def add_ended(con: sqlite3.Connection, counts: EndCounts) -> None:
    """Count messages that came to an end."""
    con.executemany(
        "INSERT INTO ended_counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in counts.items()],
    )


def take_ended(con: sqlite3.Connection, counts: EndCounts) -> None:
    """Count messages no longer that wait again, or are forgotten."""
    con.executemany(
        "UPDATE ended_counts SET count = count - ? WHERE hook = ? AND state = ?",
        [(count, *key) for key, count in counts.items()],
    )
    con.executemany("DELETE FROM ended_counts WHERE hook = ? AND state = ? AND count = 0", [*counts])


def ended_among(con: sqlite3.Connection, hook: str, seqs: Sequence[int]) -> Counter[tuple[str, int]]:
    """Count those of some messages that have come to an end, one by one."""
    found = con.execute(
        "SELECT state, count(*) FROM messages NOT INDEXED "
        "WHERE hook = ? AND seq IN (SELECT value FROM json_each(?)) AND state > 1 GROUP BY state",
        (hook, json.dumps(seqs)),
    )
    return Counter({(hook, state): count for state, count in found})
