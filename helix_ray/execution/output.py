"""Captures what a function writes in the attempt's log: through sys.stdout and sys.stderr, and what C code,
child processes and their children write to descriptors 1 and 2, in the order in which it is written.

Between attempts both lead to where they led when the process started.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import sys
from typing import Any, TextIO

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.log import tail_text
from helix_ray.execution.spool import Spool

DESCRIPTORS = (1, 2)

_LINE_BUFFERED = 1  # <stdio.h>, _IOLBF
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SETTINGS: dict[str, Any] = {
    "encoding": "utf-8",
    "errors": "backslashreplace",
    "newline": None,
    "line_buffering": True,
    "write_through": False,
}

_libc = ctypes.CDLL(None)


class OutputCapture:
    """Owns descriptors 1 and 2, stdout and stderr of an executor; call `begin` and `end` around each attempt.

    Without `install` it captures nothing. Where the log cannot be written the attempt runs all the same.
    """

    def __init__(self) -> None:
        self._assignment: Assignment | None = None
        self._spool: Spool | None = None
        self._streams: tuple[_Stream, ...] = ()
        self._copies: tuple[int, ...] = ()
        self._originals: tuple[TextIO, TextIO] | None = None

    def install(self) -> None:
        """Replace sys.stdout and sys.stderr, and remember where the descriptors lead."""
        self._originals = (sys.stdout, sys.stderr)
        self._copies = tuple(_copy(descriptor) for descriptor in DESCRIPTORS)
        self._streams = (_Stream(1, "<stdout>"), _Stream(2, "<stderr>"))
        sys.stdout, sys.stderr = self._streams
        # A file is buffered as a whole: what C code prints would come behind what Python prints.
        _libc.setvbuf(ctypes.c_void_p.in_dll(_libc, "stdout"), None, _LINE_BUFFERED, 0)

    def uninstall(self) -> None:
        """Restore sys.stdout and sys.stderr; safe to call twice."""
        if self._originals is not None:
            sys.stdout, sys.stderr = self._originals
            self._originals = None
            for copy in self._copies:
                os.close(copy)
            self._copies = self._streams = ()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def begin(self, assignment: Assignment) -> None:
        """Start to capture output for this attempt; no log is created yet."""
        if not self._streams:
            return
        try:
            spool = self._spool_in(assignment.log_dir)
        except OSError:
            return
        self._assignment = assignment
        spool.begin(assignment.task_id, assignment.attempt)
        self._lead_to(spool.descriptor, spool.descriptor)

    def end(self) -> tuple[int, str | None]:
        """Stop capturing; return (bytes written, tail of the output or None).

        Call it when nothing that the attempt started is left.
        """
        task, spool = self._assignment, self._spool
        if task is None or spool is None:
            return 0, None
        self._assignment = None
        try:
            self._flush_streams()
        except (OSError, ValueError):
            # The function closed a descriptor: what is in the buffers is its output still.
            self._lead_to(spool.descriptor, spool.descriptor)
            with contextlib.suppress(OSError, ValueError):
                self._flush_streams()
        self._lead_to(*self._copies)
        try:
            written, tail = spool.end(task.task_id, task.attempt)
        except OSError:
            return 0, None
        return (written, tail_text(tail)) if written else (0, None)

    def _spool_in(self, log_dir: str) -> Spool:
        if self._spool is None or self._spool.log_dir != log_dir:
            if self._spool is not None:
                self._spool.close()
                self._spool = None
            self._spool = Spool(log_dir)
        return self._spool

    def _lead_to(self, stdout: int, stderr: int) -> None:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)

    def _flush_streams(self) -> None:
        _libc.fflush(None)
        for stream in self._streams:
            stream.restore()


class _Raw(io.FileIO):
    """A full disk ends the log, not the attempt; the file is the process's, so no stream closes it."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in _FULL:
                return memoryview(data).nbytes
            raise

    def seekable(self) -> bool:
        return False

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        pass


class _Writer(io.BufferedWriter):
    """Outlives every text stream that a function makes of it."""

    def close(self) -> None:
        if not self.closed:
            self.flush()

    def detach(self) -> Any:
        self.flush()
        return self.raw


class _Stream(io.TextIOWrapper):
    """A text file on a descriptor, which a function may reconfigure, detach and close for itself only."""

    def __init__(self, descriptor: int, name: str) -> None:
        raw = _Raw(descriptor, "w", closefd=False)
        raw.name = name
        super().__init__(_Writer(raw), **_SETTINGS)
        self._changed = False

    def reconfigure(self, **settings: Any) -> None:
        self._changed = True
        super().reconfigure(**settings)

    def detach(self) -> Any:
        self.flush()
        return self.buffer

    def close(self) -> None:
        self.flush()

    def restore(self) -> None:
        """Write what is buffered, and be as at the beginning."""
        self.flush()
        if self._changed:
            super().reconfigure(**_SETTINGS)
            self._changed = False


def _copy(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
