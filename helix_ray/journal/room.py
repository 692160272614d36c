"""Is there room to record anything? Asked before a commit decides, so that an append does not fail after it.

The kernel is asked each time (statvfs, microseconds): free bytes and inodes for which there is a reserve, and
whether the file system can be written at all. What must go on while the reserve is used up (sessions, so that
somebody can log in and look) is recorded in the space of a file that is kept for that, the ballast: it is
made when there is room, and cut shorter when there is none.

statvfs does not know every limit: a user's quota, or a limit of a file's size, shows in a write
that fails, which ends the master. Its next life tries to take a commit's space before it serves,
and is hindered until that works.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helix_ray.core.errors import ErrorCode, Rejected

log = logging.getLogger(__name__)

BALLAST_FILE = "journal.ballast"
BALLAST_BYTES = 8 << 20
# What a commit of a few facts may take at most, with all that SQLite does besides; the ballast is
# cut in such pieces.
COMMIT_BYTES = 512 << 10
INODES_MIN = 64
RETRY_AFTER_S = 5
PROBE_FILE = "journal.probe"
PROBE_EVERY_S = 1.0
# What a write is refused with where statvfs may say that there is room.
_LIMITS = (errno.EDQUOT, errno.EFBIG, errno.ENOSPC)

Reason = Literal["disk_full", "no_inodes", "read_only", "quota", "unreachable"]
_WORDS: dict[Reason, str] = {
    "disk_full": "the disk of the data directory is full",
    "no_inodes": "the file system of the data directory has no inodes left",
    "read_only": "the file system of the data directory is read-only",
    "quota": "a disk quota or a file size limit leaves no space for the data directory",
    "unreachable": "the data directory cannot be reached",
}


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why nothing can be recorded; `figures` say how much is there and how much must be."""

    reason: Reason
    figures: dict[str, int]

    def __str__(self) -> str:
        return _WORDS[self.reason]

    def rejected(self) -> Rejected:
        """Return it as the refusal of an order."""
        details: dict[str, Any] = {"reason": self.reason, **self.figures, "retry_after_s": RETRY_AFTER_S}
        message = f"The change was not made because it cannot be recorded: {self}"
        return Rejected(ErrorCode.SERVICE_UNAVAILABLE, message, details)


class DiskRoom:
    """The room of one folder's file system. One that keeps a ballast is for the
    process that writes the journal."""

    def __init__(self, folder: Path, reserve_bytes: int, *, ballast: bool = False) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._ballast = folder / BALLAST_FILE if ballast else None
        self._ballast_bytes = -1
        self._said: Reason | None = None
        self._probed_at = 0.0
        self._limited = False

    def look(self, *, probe: bool = False) -> Hindrance | None:
        """Return why nothing should be written; None when there is room. Says a change in the log, once.

        `probe` takes a commit's space for a moment, to find out whether it can be had.
        """
        found, free_bytes = self._look()
        if found is None and (probe or self._limited):
            found = self._probe(time.monotonic())
        reason = found.reason if found is not None else None
        if reason != self._said:
            if found is not None:
                log.error("the journal cannot be written for now: %s %s", found, found.figures or "")
            else:
                log.info("there is space in %s again; the journal is written as before", self._folder.name)
            self._said = reason
        if found is None and free_bytes > self._reserve_bytes + BALLAST_BYTES:
            self._fill_ballast()
        return found

    def refusal(self, *, vital: bool = False) -> Rejected | None:
        """Return the refusal of an order that would be recorded; a vital one may use the ballast up."""
        found = self.look()
        if found is None or (vital and found.reason in ("disk_full", "no_inodes") and self._make_room()):
            return None
        return found.rejected()

    def _look(self) -> tuple[Hindrance | None, int]:
        try:
            seen = os.statvfs(self._folder)
        except OSError:
            return Hindrance("unreachable", {}), 0
        free_bytes = seen.f_bavail * seen.f_frsize
        if seen.f_flag & os.ST_RDONLY:
            return Hindrance("read_only", {}), free_bytes
        if free_bytes < self._reserve_bytes:
            figures = {"free_bytes": free_bytes, "reserve_bytes": self._reserve_bytes}
            return Hindrance("disk_full", figures), free_bytes
        # A file system that makes inodes as they are needed says that it has none at all.
        if seen.f_files and seen.f_favail < INODES_MIN:
            return Hindrance(
                "no_inodes", {"free_inodes": seen.f_favail, "reserve_inodes": INODES_MIN}
            ), free_bytes
        return None, free_bytes

    def _probe(self, now: float) -> Hindrance | None:
        """Try to take space; where a limit was met, not more often than every PROBE_EVERY_S."""
        if not self._limited or now - self._probed_at >= PROBE_EVERY_S:
            self._probed_at = now
            self._limited = not self._can_take(COMMIT_BYTES)
        return Hindrance("quota", {"commit_bytes": COMMIT_BYTES}) if self._limited else None

    def _can_take(self, size: int) -> bool:
        path = self._folder / PROBE_FILE
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
                path.unlink(missing_ok=True)
        except OSError as error:
            return error.errno not in _LIMITS
        return True

    def _fill_ballast(self) -> None:
        if self._ballast is None or self._ballast_bytes == BALLAST_BYTES:
            return
        self._ballast_bytes = BALLAST_BYTES
        with contextlib.suppress(OSError):
            handle = os.open(self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, BALLAST_BYTES)
            finally:
                os.close(handle)

    def _make_room(self) -> bool:
        """Cut the ballast until a commit has room; say whether it has."""
        with contextlib.suppress(OSError):
            while self._free_bytes() < COMMIT_BYTES:
                left = self._ballast.stat().st_size if self._ballast is not None else 0
                if self._ballast is None or left == 0:
                    return False
                self._ballast_bytes = max(0, left - COMMIT_BYTES)
                os.truncate(self._ballast, self._ballast_bytes)
            return True
        return False

    def _free_bytes(self) -> int:
        seen = os.statvfs(self._folder)
        return seen.f_bavail * seen.f_frsize
