"""Reads pieces of what an attempt wrote, by offset in its whole output even where some of it was removed, and
of what it yielded."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from helix_ray.core.orders import AttemptReport
from helix_ray.core.views.log_text import text_of
from helix_ray.core.views.tasks import ItemsView, LogView
from helix_ray.execution.item_file import items_path, read_bytes
from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX, log_path, tail_text
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


def with_last_output(report: AttemptReport, folder: Path) -> AttemptReport:
    """Return the report of an attempt whose process was killed with the end of what it had written."""
    if report.error is None or report.outcome not in ("failed", "lost"):
        return report
    with contextlib.suppress(OSError, ValueError):
        if has_log(folder, report.task_id, report.attempt):
            path = log_path(str(folder), report.task_id, report.attempt)
            start = max(0, path.stat().st_size - OUTPUT_TAIL_BYTES_MAX)
            tail = read(path, start, OUTPUT_TAIL_BYTES_MAX).data
            return replace(report, error={**report.error, "output_tail": tail_text(tail)})
    return report


def read_yielded(
    folder: Path, task_id: str, attempt: int, offset: int, limit_bytes: int, *, over: bool
) -> ItemsView:
    """Return what an attempt has yielded, from `offset` onwards; empty if there is no file.

    `over`: the attempt has ended.
    """
    path = items_path(str(folder), task_id, attempt)
    data, at_end = read_bytes(path, offset, limit_bytes)
    return {
        "attempt": attempt, "data": data, "next_offset": offset + len(data), "eof": over and at_end
    }  # fmt: skip


def has_items(folder: Path, task_id: str, attempt: int) -> bool:
    """Say whether an attempt has yielded something."""
    return items_path(str(folder), task_id, attempt).exists()


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
