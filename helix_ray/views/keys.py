"""A number that sorts like an id, because DuckDB's zone maps prune well by numbers
but not by long strings."""

from __future__ import annotations

KEY_FROM = len("task-")
KEY_BYTES = 8
# Tasks that a statement is about; its two parameters are their keys and their ids.
WANTED = "(SELECT unnest(?::UBIGINT[]) AS key, unnest(?::VARCHAR[]) AS id)"


def key_of(task_id: str) -> int:
    """Return the first 8 bytes after the prefix: 40 bits of a seed's milliseconds, so about
    32 ms share a key."""
    return int.from_bytes(task_id.encode("utf-8", "replace")[KEY_FROM : KEY_FROM + KEY_BYTES], "big")
