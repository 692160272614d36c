"""Keeps files private to their user: the umask of our processes, and the permissions of existing files.

Everything below a data directory is 0700 (folders) or 0600 (files): the journal contains password hashes, the
logs whatever tasks print. Processes that write there call `keep_private` first, and a process that takes a
data directory restricts its permissions first.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

JOURNAL_FILE = "journal.sqlite"
UMASK = 0o077
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A folder with one of these is a data directory; in any other folder permissions are left alone.
LANDMARKS = (JOURNAL_FILE, "up.lock", "node.lock", "jwt.key")


class TooWide(Exception):
    """Others can enter a folder, and its permissions cannot be restricted; the message ends
    with the command to do it."""


def keep_private() -> None:
    """Make files that this process and its children create readable by their user only."""
    os.umask(UMASK)


def make_file(path: Path) -> None:
    """Create an empty file with mode 0600 unless it exists, for a library that would use the umask."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def narrow_folder(folder: Path) -> None:
    """Make an existing data directory private; that protects everything below it at once.

    Raises TooWide for a folder that belongs to another user, or that has other content than ours.
    """
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    if not found.st_mode & OTHERS:
        return
    mend = f"chmod -R go= {shlex.quote(str(folder))}"
    open_to_others = f"{folder} can be accessed by other users (mode {stat.S_IMODE(found.st_mode):04o})"
    if found.st_uid != os.geteuid():
        raise TooWide(f"{open_to_others} and belongs to user id {found.st_uid}, who can fix it with: {mend}")
    if not _is_ours(folder):
        raise TooWide(f"{open_to_others} and contains other files: choose an empty folder, or run: {mend}")
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    if folder.stat().st_mode & OTHERS:
        raise TooWide(f"{open_to_others} and its file system does not allow changing that; try: {mend}")


def _is_ours(folder: Path) -> bool:
    return not any(folder.iterdir()) or any((folder / name).exists() for name in LANDMARKS)


def narrow_below(folder: Path) -> None:
    """Make every file and folder below private, if it belongs to this user and is on the same file system."""
    user, device = os.geteuid(), folder.stat().st_dev
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                # Files may disappear meanwhile, because a server runs.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    if _narrow(entry, user, device):
                        waiting.append(entry.path)


def _narrow(entry: os.DirEntry[str], user: int, device: int) -> bool:
    """Make one entry private; say whether it is a folder to descend into."""
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode) or found.st_dev != device:
        return False
    if found.st_uid == user and found.st_mode & OTHERS:
        os.chmod(entry.path, stat.S_IMODE(found.st_mode) & ~OTHERS)
    return stat.S_ISDIR(found.st_mode)
