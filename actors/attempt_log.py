"""Reads pieces of an attempt's log by offset in its whole output, even where some of it was removed."""

from __future__ import annotations

from pathlib import Path

from helix_ray.core.views.log_text import text_of
from helix_ray.core.views.tasks import LogView
from helix_ray.execution.log import log_path
from helix_ray.execution.packed_log import read
from helix_ray.execution.spool import name_spools


def read_piece(
    folder: Path, task_id: str, attempt: int, offset: int, limit_bytes: int, raw: bool, *, over: bool
) -> LogView:
    """Return text from `offset` on, the next offset, and how much was removed.

    `raw`: the text has a character for each byte. `over`: the attempt has ended.
    """
    if not has_log(folder, task_id, attempt):
        return _piece("", offset, offset, attempt, 0, over)
    found = read(log_path(str(folder), task_id, attempt), offset, limit_bytes)
    text, used = found.data.decode("latin-1"), len(found.data)
    if not raw:
        text, used = text_of(found.data, more=not found.broken and (found.more or not over))
    at_end = over and not found.more
    return _piece(text, found.start, found.start + used, attempt, found.cut_bytes, at_end)


def has_log(folder: Path, task_id: str, attempt: int) -> bool:
    """Say whether an attempt has a log; that of a running function gets its name here."""
    path = log_path(str(folder), task_id, attempt)
    if not path.exists():
        name_spools(str(folder))
    return path.exists()


def _piece(text: str, start: int, end: int, attempt: int, cut_bytes: int, eof: bool) -> LogView:
    return {
        "text": text,
        "offset": start,
        "next_offset": end,
        "attempt": attempt,
        "cut_bytes": cut_bytes,
        "eof": eof,
    }
