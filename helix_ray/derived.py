"""Handles damaged files that can be rebuilt from other data: they are renamed and never repaired.

A file that cannot be opened at the moment (full disk, no permission, no descriptors)
is not damaged, and stays.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path

log = logging.getLogger(__name__)

# limits.sqlite becomes limits.sqlite.unusable-20261126T084249 (UTC); the newest few are kept for an analysis.
ASIDE_SUFFIX = ".unusable"
ASIDE_KEPT_MAX = 3
# Files that belong to a database: the WAL and its index are renamed with it.
COMPANIONS = ("-wal", "-shm", ".wal")

# System errors that do not mean damage.
PASSING = (
    errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EBUSY, errno.ESTALE, errno.ETXTBSY,
    errno.EFBIG,
)  # fmt: skip
# SQLite's result codes for a damaged file; "no such column", of another layout, is an ERROR.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_PRIMARY = 0xFF


def sqlite_says_damaged(error: sqlite3.Error) -> bool:
    """Say whether an error means that the file is damaged, and not just inaccessible at the moment."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY in _DAMAGED


def names_passing_cause(message: str) -> bool:
    """Say whether a library's message ends with a system error that does not mean damage."""
    return any(os.strerror(code) in message for code in PASSING)


def set_aside(path: Path, why: object) -> Path:
    """Rename a damaged file and the files that belong to it, log it, and return the new name."""
    aside = path.with_name(f"{path.name}{ASIDE_SUFFIX}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    log.warning("%s cannot be used; moved it to %s and creating it again: %s", path, aside.name, why)
    path.replace(aside)
    for suffix in COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.replace(aside.with_name(aside.name + suffix))
    _forget_oldest(path)
    return aside


def _forget_oldest(path: Path) -> None:
    kept = [p for p in path.parent.glob(f"{path.name}{ASIDE_SUFFIX}-*") if not p.name.endswith(COMPANIONS)]
    for old in sorted(kept)[:-ASIDE_KEPT_MAX]:
        for one in (old, *(old.with_name(old.name + suffix) for suffix in COMPANIONS)):
            if one.is_dir():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink(missing_ok=True)
