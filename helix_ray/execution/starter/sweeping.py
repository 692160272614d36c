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
            changed = folder.stat().st_mtime
            if now - changed > keep_s:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
            else:
                kept.append((changed, _size(folder), folder))
    over = sum(size for _, size, _ in kept) - bytes_max
    for _, size, folder in sorted(kept):
        if over <= 0:
            break
        shutil.rmtree(folder, ignore_errors=True)
        over -= size
        removed += 1
    return removed


def remove_attempts(attempts: Path, task_ids: Collection[str]) -> int:
    """Remove the folders of all attempts of these tasks; return how many."""
    theirs = [path for path in attempts.glob("*.*") if path.name.rpartition(".")[0] in task_ids]
    for path in theirs:
        shutil.rmtree(path, ignore_errors=True)
    return len(theirs)


def _size(folder: Path) -> int:
    """Return what the files below take on the disk, in bytes."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
    return size
