"""Which folders of ended attempts are removed: the old ones, and the oldest where they take too much."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path


def sweep_attempts(attempts: Path, keep_s: float, bytes_max: int, now: float) -> int:
    """Remove folders last changed more than `keep_s` seconds ago, then the oldest beyond `bytes_max`
    bytes in all; return how many."""
    kept: list[tuple[float, int, Path]] = []
    removed = 0
    for folder in attempts.glob("*"):
        with contextlib.suppress(OSError):
            changed = folder.lstat().st_mtime
            if now - changed > keep_s:
                remove_folder(folder)
                removed += 1
            else:
                kept.append((changed, _size(folder), folder))
    over = sum(size for _, size, _ in kept) - bytes_max
    for _, size, folder in sorted(kept):
        if over <= 0:
            break
        remove_folder(folder)
        over -= size
        removed += 1
    return removed


def remove_attempts(attempts: Path, task_ids: Collection[str]) -> int:
    """Remove the folders of all attempts of these tasks; return how many."""
    theirs = [path for path in attempts.glob("*.*") if path.name.rpartition(".")[0] in task_ids]
    for path in theirs:
        remove_folder(path)
    return len(theirs)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is below it, also where a command has made parts of it read-only, as Go
    does with its modules; what is not there, or cannot be removed, is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir() and not folder.is_symlink():
        _open(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open(folder: Path) -> None:
    """Let our user remove what is below a folder of its own."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for place, names, _ in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                path = os.path.join(place, name)
                if not os.path.islink(path):
                    os.chmod(path, 0o700)


def _size(folder: Path) -> int:
    """Return what the files below take on the disk, in bytes."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
    return size
