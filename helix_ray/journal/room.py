"""Checks for disk space before a commit is decided, so that its append does not fail.

Each check asks the kernel (statvfs, microseconds) for free bytes and inodes, of which a reserve must remain,
and whether the file system is writable. Vital orders must work even below the reserve (sessions, so that an
operator can log in). Their space comes from a file kept for that, the ballast: it is created while there is
space, and truncated piece by piece when there is none.

statvfs does not know every limit: a user's quota or a limit of the file size shows only as a failed write,
which ends the master. After its restart the master tries to allocate the space of a commit, and does not
serve writes until that works.
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
# The maximum space of a commit of a few facts, with SQLite's overhead; the ballast is
# truncated in such pieces.
COMMIT_BYTES = 512 << 10
INODES_MIN = 64
RETRY_AFTER_S = 5
PROBE_FILE = "journal.probe"
PROBE_EVERY_S = 1.0
# Errors of a failed write where statvfs may still report free space.
_LIMITS = (errno.EDQUOT, errno.EFBIG, errno.ENOSPC)

Reason = Literal[
    "disk_full",
    "no_inodes",
    "read_only",
    "quota",
    "unreachable",
    "journal_missing",
    "journal_replaced",
    "journal_cut",
]
_WORDS: dict[Reason, str] = {
    "disk_full": "the disk of the data directory is full",
    "no_inodes": "the file system of the data directory has no inodes left",
    "read_only": "the file system of the data directory is read-only",
    "quota": "a disk quota or a file size limit leaves no space for the data directory",
    "unreachable": "the data directory cannot be reached",
    "journal_missing": "a file of the journal was removed or renamed",
    "journal_replaced": "a file of the journal was replaced by another one",
    "journal_cut": "a file of the journal was emptied or cut off",
}


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why nothing can be recorded; `figures` give the available and the required space."""

    reason: Reason
    figures: dict[str, int]

    def __str__(self) -> str:
        return _WORDS[self.reason]

    def rejected(self) -> Rejected:
        """Return the refusal of an order."""
        details: dict[str, Any] = {"reason": self.reason, **self.figures, "retry_after_s": RETRY_AFTER_S}
        message = f"The change was not made because it cannot be recorded: {self}"
        return Rejected(ErrorCode.SERVICE_UNAVAILABLE, message, details)


class DiskRoom:
    """The space on a folder's file system. Only the process that writes the journal keeps a ballast."""

    def __init__(self, folder: Path, reserve_bytes: int, *, ballast: bool = False) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._ballast = folder / BALLAST_FILE if ballast else None
        self._ballast_bytes = -1
        self._said: Reason | None = None
        self._probed_at = 0.0
        self._limited = False

    def look(self, *, probe: bool = False) -> Hindrance | None:
        """Return why nothing should be written; None when there is space. A change is logged once.

        `probe` briefly allocates the space of a commit, to find out whether that is possible.
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
        """Return the refusal of an order with facts; a vital order may use up the ballast."""
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
        # A file system with dynamic inodes reports a total of 0.
        if seen.f_files and seen.f_favail < INODES_MIN:
            return Hindrance(
                "no_inodes", {"free_inodes": seen.f_favail, "reserve_inodes": INODES_MIN}
            ), free_bytes
        return None, free_bytes

    def _probe(self, now: float) -> Hindrance | None:
        """Try to allocate space; after a failure at most every PROBE_EVERY_S."""
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
        """Truncate the ballast until there is space for a commit; say whether there is."""
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
