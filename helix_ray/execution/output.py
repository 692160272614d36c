"""Captures what functions print in the attempt's log; a function that prints nothing costs nothing.

Only Python's sys.stdout and sys.stderr are captured. Output of C code or child processes on the file
descriptors goes to the executor's own output.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import TextIO

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.log import LOG_BYTES_MAX, AttemptLog, log_path

BUFFER_CHARS_MAX = 8 * 1024
"""A line that grows beyond this is written before it ends, in characters."""


class OutputCapture:
    """Replaces stdout and stderr of an executor; call `begin` and `end` around each attempt."""

    def __init__(self, log_bytes_max: int = LOG_BYTES_MAX) -> None:
        self._log_bytes_max = log_bytes_max
        self._assignment: Assignment | None = None
        self._log: AttemptLog | None = None
        self._pending: list[str] = []
        self._pending_chars = 0
        self._lock = threading.RLock()  # guards all above: threads of the user's code may print too
        self._originals: tuple[TextIO, TextIO] | None = None

    def install(self) -> None:
        """Replace sys.stdout and sys.stderr."""
        self._originals = (sys.stdout, sys.stderr)
        sys.stdout = _Stream(self, sys.stdout)
        sys.stderr = _Stream(self, sys.stderr)

    def uninstall(self) -> None:
        """Restore sys.stdout and sys.stderr; safe to call twice."""
        if self._originals is not None:
            sys.stdout, sys.stderr = self._originals
            self._originals = None

    def begin(self, assignment: Assignment) -> None:
        """Start to capture output for this attempt; no file is created yet."""
        self._assignment = assignment

    def end(self) -> tuple[int, str | None]:
        """Stop capturing; return (bytes written, tail of the output or None)."""
        self._assignment = None
        if self._log is None and not self._pending:
            return 0, None
        with self._lock:
            log, self._log = self._log, None
            if log is None:
                return 0, None
            self._spill(log)
            log.close()
            return log.written_bytes, log.tail()

    def take(self, text: str) -> bool:
        """Write the text to the running attempt's log; False where none is running."""
        with self._lock:
            assignment = self._assignment
            if assignment is None:
                return False
            if self._log is None:
                path = log_path(assignment.log_dir, assignment.task_id, assignment.attempt)
                self._log = AttemptLog(path, self._log_bytes_max)
            self._pending.append(text)
            self._pending_chars += len(text)
            if text.endswith("\n") or self._pending_chars > BUFFER_CHARS_MAX:
                self._spill(self._log)
            return True

    def flush(self) -> None:
        """Write the buffered part of a line."""
        with self._lock:
            if self._log is not None:
                self._spill(self._log)

    def _spill(self, log: AttemptLog) -> None:
        if self._pending:
            log.write("".join(self._pending).encode("utf-8", errors="backslashreplace"))
            self._pending.clear()
            self._pending_chars = 0


class _Stream(io.TextIOBase):
    def __init__(self, capture: OutputCapture, original: TextIO) -> None:
        self._capture = capture
        self._original = original

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._original.fileno()

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not self._capture.take(text):
            self._original.write(text)
        return len(text)

    def flush(self) -> None:
        self._capture.flush()
        self._original.flush()
