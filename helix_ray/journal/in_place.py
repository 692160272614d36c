"""Whether the journal's files are still those that were opened, and whole.

A file that is removed or replaced under a running process stays open: SQLite would go on writing where nobody
finds it again. Nor does it notice when the log is emptied or cut, as log rotation does: it would go on
writing behind the hole, and the next start would not read any of it. So before each commit the files are
looked at (three stat calls, and the header of the log), and while one is not the one that was opened, or was
truncated, nothing is recorded. Put back, it is written as before.

A log becomes shorter by itself in two ways: SQLite restarts it, with new salts in its header, or a checkpoint
empties it (journal/erasing.py), and then all that it had is in the main file, so a checkpoint succeeds again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from helix_ray.journal.erasing import cut_log
from helix_ray.journal.room import Hindrance
from helix_ray.journal.sqlite import FILE_NAME

FILES: Final = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")
_MAIN, _LOG = 0, 1
# The header of the log: its salts tell each restart from those before (sqlite.org/fileformat2.html, 4.1).
_HEADER_BYTES: Final = 32
_SALTS: Final = slice(16, 24)


class _Log(NamedTuple):
    """How the log was at the last look."""

    salts: bytes = b""
    size: int = 0


class OpenedFiles:
    """The files of a journal that is open for writing."""

    def __init__(self, data_dir: Path) -> None:
        """Note which files those are now; where one is not there yet, it is noted when it is."""
        self._paths = [data_dir / name for name in FILES]
        self._opened = [None if (seen := _stat(path)) is None else _identity(seen) for path in self._paths]
        self._log = _Log()
        self.hindrance()

    def hindrance(self) -> Hindrance | None:
        """Return why nothing may be written."""
        for place, path in enumerate(self._paths):
            seen, opened = _stat(path), self._opened[place]
            if opened is None:
                self._opened[place] = None if seen is None else _identity(seen)
            elif seen is None:
                return Hindrance("journal_missing", {})
            elif _identity(seen) != opened:
                return Hindrance("journal_replaced", {})
            elif (place == _MAIN and not seen.st_size) or (place == _LOG and self._is_cut()):
                return Hindrance("journal_cut", {})
        return None

    def _is_cut(self) -> bool:
        """Say whether the log lacks what it had, and note how it is where it does not."""
        try:
            found = _log_now(self._paths[_LOG])
        except OSError:
            # Without a free descriptor, say: the next look sees it.
            return False
        if found.size == 0:
            is_cut = self._log.size > 0 and not cut_log(self._paths[_MAIN])
        else:
            # In an emptied log that was written on, the header is a hole.
            is_cut = not any(found.salts) or (found.salts == self._log.salts and found.size < self._log.size)
        if not is_cut:
            self._log = found
        return is_cut


def _log_now(path: Path) -> _Log:
    # Closing it gives no lock of SQLite's away: those are on the other two files.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = os.pread(handle, _HEADER_BYTES, 0)
        # Afterwards: an erasure may empty it meanwhile, on a thread.
        return _Log(header[_SALTS], os.fstat(handle).st_size)
    finally:
        os.close(handle)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino
