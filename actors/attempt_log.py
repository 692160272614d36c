"""Reads pieces of an attempt's log by offset in its whole output, even after old output was dropped."""

from __future__ import annotations

import re
from pathlib import Path

from helix_ray.core.views.tasks import LogView
from helix_ray.execution.log import log_path
from helix_ray.execution.spool import name_spools

_MARKER = re.compile(rb"\[helix: (\d+) bytes of older output were removed here\]\n")
_MARKER_BYTES_MAX = 100


def read_piece(
    folder: Path, task_id: str, attempt: int, offset: int, limit_bytes: int, *, over: bool
) -> LogView:
    """Return text from `offset` on, the next offset, and how much was dropped.

    `over`: the attempt has ended.
    """
    path = log_path(str(folder), task_id, attempt)
    has_log(folder, task_id, attempt)
    try:
        with path.open("rb") as file:
            marker = _MARKER.match(file.read(_MARKER_BYTES_MAX))
            cut, skip = (int(marker[1]), marker.end()) if marker else (0, 0)
            start = max(offset, cut)
            file.seek(skip + start - cut)
            data = file.read(limit_bytes)
            more = bool(file.read(1))
    except FileNotFoundError:
        return {
            "text": "",
            "offset": offset,
            "next_offset": offset,
            "attempt": attempt,
            "cut_bytes": 0,
            "eof": over,
        }
    if more:
        data = _whole_characters(data)
    return {
        "text": data.decode("utf-8", errors="replace"),
        "offset": start,
        "next_offset": start + len(data),
        "attempt": attempt,
        "cut_bytes": cut,
        "eof": over and not more,
    }


def has_log(folder: Path, task_id: str, attempt: int) -> bool:
    """Say whether an attempt has a log; that of a running function gets its name here."""
    path = log_path(str(folder), task_id, attempt)
    if not path.exists():
        name_spools(str(folder))
    return path.exists()


def sweep(folder: Path, keep_s: float, now: float) -> int:
    """Delete logs that were last written more than `keep_s` seconds ago; return how many."""
    name_spools(str(folder))
    old = [path for path in folder.glob("*.log") if now - path.stat().st_mtime > keep_s]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _whole_characters(data: bytes) -> bytes:
    """Leave a character that crosses the limit for the next piece."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            width = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
            return data[:-back] if width > back else data
        if byte < 0x80:
            return data
    return data
