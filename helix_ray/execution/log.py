"""The log file of one attempt: created at the first write, kept within a limit."""

from __future__ import annotations

import os
import re
from pathlib import Path

from helix_ray.execution.packed_log import pack, remove_log

LOG_BYTES_MAX = 64 * 1024 * 1024
"""What is kept of an attempt's output, in bytes."""

PACK_EVERY_BYTES = 1024 * 1024
"""How much is written before it is packed, in bytes."""

OUTPUT_TAIL_BYTES_MAX = 4 * 1024
"""How much of the end of the output goes into the outcome, in bytes."""

_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def log_path(log_dir: str, task_id: str, attempt: int) -> Path:
    """Return the file of an attempt's log; raises ValueError for an id that is not a plain file name."""
    if not _TASK_ID.fullmatch(task_id):
        raise ValueError(f"task id {task_id!r} is not a valid name")
    return Path(log_dir) / f"{task_id}.{attempt}.log"


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
    """Writes an attempt's output; beyond a limit only its beginning and its end are kept (packed_log.py).

    On a full disk the file ends but the attempt continues: `failure` says why, and the tail is kept.
    """

    def __init__(self, path: Path, log_bytes_max: int = LOG_BYTES_MAX) -> None:
        self.path = path
        self.written_bytes = 0
        self.failure: OSError | None = None
        self._log_bytes_max = log_bytes_max
        self._tail = bytearray()
        self._descriptor = -1
        self._pack_at = PACK_EVERY_BYTES

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
        if self._descriptor < 0:
            self._descriptor = self._create()
        _write_all(self._descriptor, data)
        if self.written_bytes >= self._pack_at:
            # Here, not only where logs are kept: what is written fast waits for its packing.
            pack(self.path, self._log_bytes_max, over=False)
            self._pack_at = self.written_bytes + PACK_EVERY_BYTES

    def _create(self) -> int:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_log(self.path)
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
