"""Files for their own user alone: the umask of our processes, and the narrowing of what was there before.

Everything below a data directory is 0700 (folders) or 0600 (files): the journal holds password hashes,
the logs whatever tasks print. Processes that write there begin with `keep_private`, and whoever takes a
data directory narrows it first.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

UMASK = 0o077
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A folder with one of these is a data directory; without one, somebody else's files would be changed.
LANDMARKS = ("journal.sqlite", "up.lock", "node.lock", "jwt.key")


class TooWide(Exception):
    """A folder that others can enter and that cannot be narrowed; the message ends with
    the command that does it."""


def keep_private() -> None:
    """Make what this process and its children create readable by their user only."""
    os.umask(UMASK)


def make_file(path: Path) -> None:
    """Make an empty file of mode 0600 where there is none, for a library that would ask the umask."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def narrow_folder(folder: Path) -> None:
    """Take a data directory that is there away from others; with the folder closed,
    nobody reaches what is below.

    Raises TooWide for one that belongs to another user, or that holds other things than ours.
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
    """Take every file and folder below away from others, where it is this user's and
    on the same file system."""
    user, device = os.geteuid(), folder.stat().st_dev
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                # Files come and go while a server runs.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    if _narrow(entry, user, device):
                        waiting.append(entry.path)


def _narrow(entry: os.DirEntry[str], user: int, device: int) -> bool:
    """Narrow one entry; say whether it is a folder to look into."""
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode) or found.st_dev != device:
        return False
    if found.st_uid == user and found.st_mode & OTHERS:
        os.chmod(entry.path, stat.S_IMODE(found.st_mode) & ~OTHERS)
    return stat.S_ISDIR(found.st_mode)
