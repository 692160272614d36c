"""Removes the oldest finished tasks from the history, so that its file stays within its limits.

Only tasks that have left the master's memory are removed, in the order of their ends. A shard ends before its
parent and stays as long as the parent does, since the parent's view counts its shards. The journal still has
the facts of removed tasks.

Checkpoints fill freed blocks with new rows, and cut free blocks at the end of the file off.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from helix_ray.views.keys import WANTED, key_of

# Tasks removed in one step: about a tenth of a second.
PRUNE_TASKS_MAX = 20_000

_PARENT = "regexp_replace(id, '-s[0-9]+$', '')"
_OLD = f"""
CREATE OR REPLACE TEMP TABLE old AS
SELECT seq, finished_seq, if({_PARENT} = id, NULL, {_PARENT}) AS parent FROM tasks WHERE finished_seq <= ?
"""
# Parents that have not ended, or not up to the bound.
_STAYING = f"""
WITH wanted AS {WANTED}
SELECT s.id FROM submitted s SEMI JOIN wanted USING (key, id)
LEFT JOIN (FROM tasks SEMI JOIN wanted USING (key, id)) p ON p.seq = s.seq
WHERE p.finished_seq IS NULL OR p.finished_seq > ?
"""


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How long a finished task stays in the history, how many bytes its file may use, and how long a record
    of the audit stays; after `audit_through` all of them stay, and none is older than at `audit_now`."""

    keep_s: float
    keep_bytes: int
    audit_keep_s: float = float("inf")
    audit_through: int | None = None
    audit_now: float = float("inf")


def bytes_used(con: duckdb.DuckDBPyConnection) -> int:
    """Return how much of the file is in use, as of the newest checkpoint."""
    [(used,)] = con.execute(
        "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = current_database()"
    ).fetchall()
    return int(used)


def prune(
    con: duckdb.DuckDBPyConnection, limits: HistoryLimits, now: float, archived_through: int, tasks_max: int
) -> int | None:
    """Remove at most `tasks_max` of the oldest tasks over a limit, in the caller's transaction. Tasks that
    ended after `archived_through` stay: they are in memory.

    Returns how many were removed, None where none can be. 0: the oldest `tasks_max` are all shards of parents
    that stay.
    """
    bound, count = _oldest(con, limits, now, archived_through, tasks_max)
    if bound is None:
        return None
    con.execute(_OLD, [bound])
    _leave_shards(con, bound)
    con.execute(
        "DELETE FROM submitted WHERE seq <= (SELECT max(seq) FROM old) AND seq IN (SELECT seq FROM old)"
    )
    con.execute(
        "DELETE FROM tasks WHERE finished_seq <= ? AND finished_seq IN (SELECT finished_seq FROM old)",
        [bound],
    )
    removed = int(con.execute("SELECT count(*) FROM old").fetchall()[0][0])
    return removed if removed or count == tasks_max else None


def _leave_shards(con: duckdb.DuckDBPyConnection, bound: int) -> None:
    """Leave shards out whose parent stays."""
    parents = [
        name for (name,) in con.execute("SELECT DISTINCT parent FROM old WHERE parent IS NOT NULL").fetchall()
    ]
    if parents:
        staying = con.execute(_STAYING, [[key_of(name) for name in parents], parents, bound]).fetchall()
        con.execute(
            "DELETE FROM old WHERE list_contains(?::VARCHAR[], parent)", [[name for (name,) in staying]]
        )


def _oldest(
    con: duckdb.DuckDBPyConnection, limits: HistoryLimits, now: float, archived_through: int, tasks_max: int
) -> tuple[int | None, int]:
    """Return the number of the oldest tasks that are over a limit, `tasks_max` at most, and before it the seq
    of the last one's end."""
    over = bytes_used(con) > limits.keep_bytes
    before = now if over else now - limits.keep_s
    found = con.execute(
        """SELECT max(finished_seq), count(*) FROM (
               SELECT finished_seq FROM tasks WHERE finished_seq <= ? AND (? OR finished_at < ?)
               ORDER BY finished_seq LIMIT ?)""",
        [archived_through, over, before, tasks_max],
    ).fetchall()
    bound, count = found[0]
    return bound, int(count)
