"""The folders of attempts: a fresh one for each as its working directory, kept as long as its log."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from helix_ray.execution.log import log_path
from helix_ray.execution.starter.levels import CellFolders, Isolation
from helix_ray.execution.starter.sweeping import remove_folder

CELLS, ATTEMPTS = "cells", "attempts"
SHOWN = "/run/helix/attempts"


class Folders:
    """Everything below one folder of the node: `attempts/TASK.ATTEMPT`, and `cells/` for cells that live.

    A contained cell sees its own attempts only, at SHOWN, which every user may reach.
    """

    def __init__(self, root: Path, isolation: Isolation) -> None:
        self.attempts = root / ATTEMPTS
        self._cells = root / CELLS
        self._isolation = isolation
        self._made = 0
        remove_folder(self._cells)  # of a starter that was killed
        for folder in (root, self.attempts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != os.geteuid():
                raise PermissionError(f"{folder} belongs to another user")
            if isolation.level == "user":  # who has to come through to its own folder
                folder.chmod(0o711)

    def new_cell(self) -> CellFolders:
        """Make the folders of a cell; raises OSError."""
        self._made += 1
        home = self._cells / str(self._made)
        (home / ATTEMPTS).mkdir(mode=0o700, parents=True)
        self._give(home / ATTEMPTS)
        for name in ("tmp", "var_tmp"):
            (home / name).mkdir()
            (home / name).chmod(0o1777)  # as /tmp is; nobody else comes through the folders above
        shown = SHOWN if self._isolation.contained else str(self.attempts)
        return CellFolders(str(home / "tmp"), str(home / "var_tmp"), str(home / ATTEMPTS), shown)

    def drop_cell(self, folders: CellFolders) -> None:
        """Remove what a cell leaves behind."""
        remove_folder(Path(folders.tmp).parent)

    def begin(self, cell: CellFolders, task_id: str, attempt: int) -> str:
        """Make an attempt's folder, empty, and return its path as the attempt sees it; raises OSError."""
        folder = self._inner(cell, task_id, attempt)
        remove_folder(folder)
        folder.mkdir(mode=0o700)
        self._give(folder)
        return str(folder_path(Path(cell.shown), task_id, attempt))

    def end(self, cell: CellFolders, task_id: str, attempt: int) -> None:
        """Keep an attempt's folder where it has anything in it."""
        folder = self._inner(cell, task_id, attempt)
        with contextlib.suppress(OSError):
            if self._isolation.contained:  # the folder above belongs to the command too
                os.chmod(cell.attempts, 0o700)
            if folder.is_symlink() or not folder.is_dir():
                folder.unlink()
                return
            os.chmod(folder, 0o700)  # a closed one cannot be moved
            folder.rmdir()
            return
        kept = self._kept(task_id, attempt)
        if folder != kept:
            remove_folder(kept)
            with contextlib.suppress(OSError):
                os.rename(folder, kept)
        if self._isolation.uid >= 0:  # whose next commands are another task's
            with contextlib.suppress(OSError):
                os.chown(kept, os.geteuid(), os.getegid(), follow_symlinks=False)

    def _inner(self, cell: CellFolders, task_id: str, attempt: int) -> Path:
        folder = cell.attempts if self._isolation.contained else cell.shown
        return folder_path(Path(folder), task_id, attempt)

    def _kept(self, task_id: str, attempt: int) -> Path:
        return folder_path(self.attempts, task_id, attempt)

    def _give(self, folder: Path) -> None:
        if self._isolation.uid >= 0:
            os.chown(folder, self._isolation.uid, self._isolation.gid)


def folder_path(attempts: Path, task_id: str, attempt: int) -> Path:
    """Return an attempt's folder; raises ValueError for an id that is no plain file name."""
    return log_path(str(attempts), task_id, attempt).with_suffix("")
