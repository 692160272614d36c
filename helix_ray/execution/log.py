"""The log file of one attempt: created at the first write, limited in size; old output is dropped first."""

from __future__ import annotations

import os
import re
from pathlib import Path

LOG_BYTES_MAX = 4 * 1024 * 1024
"""Largest log of an attempt, in bytes, its marker line not counted."""

OUTPUT_TAIL_BYTES_MAX = 4 * 1024
"""How much of the end of the output goes into the outcome, in bytes."""

_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def log_path(log_dir: str, task_id: str, attempt: int) -> Path:
    """Return the file of an attempt's log; raises ValueError for an id that is not a plain file name."""
    if not _TASK_ID.fullmatch(task_id):
        raise ValueError(f"task id {task_id!r} is not a valid name")
    return Path(log_dir) / f"{task_id}.{attempt}.log"


def marker(cut_bytes: int) -> bytes:
    """Return the first line of a log whose old output was dropped."""
    return f"[helix: {cut_bytes} bytes of older output were removed here]\n".encode()


def tail_text(tail: bytes) -> str:
    """Return the last bytes of an output, OUTPUT_TAIL_BYTES_MAX at most, as text.

    It starts with a whole character; bytes that are not UTF-8 become U+FFFD.
    """
    cut = 0
    if len(tail) == OUTPUT_TAIL_BYTES_MAX:
        while cut < 3 and tail[cut] & 0xC0 == 0x80:
            cut += 1
    return tail[cut:].decode("utf-8", errors="replace")


class AttemptLog:
    """Writes an attempt's output and keeps its newest bytes.

    When the file would exceed log_bytes_max, its newer half is kept after a marker line with the number of
    dropped bytes. The file is replaced atomically. On a full disk the file ends but the attempt continues:
    `failure` says why, and the tail is kept.
    """

    def __init__(self, path: Path, log_bytes_max: int = LOG_BYTES_MAX) -> None:
        self.path = path
        self.written_bytes = 0
        self.failure: OSError | None = None
        self._log_bytes_max = log_bytes_max
        self._tail = bytearray()
        self._descriptor = -1
        self._kept_bytes = 0

    def write(self, data: bytes) -> None:
        """Append bytes; never raises errors of the file."""
        self.written_bytes += len(data)
        self._tail += data[-OUTPUT_TAIL_BYTES_MAX:]
        del self._tail[:-OUTPUT_TAIL_BYTES_MAX]
        if self.failure is not None:
            return
        try:
            self._append(data)
        except OSError as error:
            self.failure = error
            self.close()

    def tail(self) -> str:
        """Return the end of what was written, see `tail_text`."""
        return tail_text(bytes(self._tail))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> None:
        if self._kept_bytes + len(data) > self._log_bytes_max:
            self._cut(data)
            return
        if self._descriptor < 0:
            self._descriptor = self._create(self.path)
        _write_all(self._descriptor, data)
        self._kept_bytes += len(data)

    def _cut(self, data: bytes) -> None:
        keep_bytes = self._log_bytes_max // 2
        if len(data) < keep_bytes and self._kept_bytes:
            with self.path.open("rb") as file:
                file.seek(-min(self._kept_bytes, keep_bytes - len(data)), os.SEEK_END)
                data = file.read() + data
        kept = _from_line_start(data[-keep_bytes:])
        fresh = self.path.with_suffix(".cut")
        self.close()
        self._descriptor = self._create(fresh)
        _write_all(self._descriptor, marker(self.written_bytes - len(kept)) + kept)
        fresh.replace(self.path)
        self._kept_bytes = len(kept)

    @staticmethod
    def _create(path: Path) -> int:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _from_line_start(data: bytes) -> bytes:
    newline = data.find(b"\n", 0, 1024)
    return data[newline + 1 :] if 0 <= newline < len(data) - 1 else data


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
