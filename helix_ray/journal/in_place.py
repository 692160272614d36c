"""Whether the journal's files are still those that were opened.

A file that is removed or replaced under a running process stays open: SQLite would go on writing where nobody
finds it again. So before each commit the files are looked at (three stat calls), and while one is not the one
that was opened nothing is recorded. Put back, it is written as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from helix_ray.journal.room import Hindrance
from helix_ray.journal.sqlite import FILE_NAME

FILES: Final = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")


class OpenedFiles:
    """The files of a journal that is open for writing."""

    def __init__(self, data_dir: Path) -> None:
        """Note which files those are now; where one is not there yet, it is noted when it is."""
        self._paths = [data_dir / name for name in FILES]
        self._opened: list[tuple[int, int] | None] = [_identity(path) for path in self._paths]

    def hindrance(self) -> Hindrance | None:
        """Return why nothing may be written."""
        for place, path in enumerate(self._paths):
            found, opened = _identity(path), self._opened[place]
            if opened is None:
                self._opened[place] = found
            elif found is None:
                return Hindrance("journal_missing", {})
            elif found != opened:
                return Hindrance("journal_replaced", {})
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino
