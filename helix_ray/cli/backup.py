"""helix backup, helix restore: they work on this machine's data directory, without a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.output import put, say
from helix_ray.cli.up import DataDir

if TYPE_CHECKING:
    from helix_ray.backup import Manifest

EXIT_FAILED = 1
SAY_EVERY_S = 2.0
HOME = "~/.helix-ray"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Backup folder.", show_default=False)]


def backup(folder: Folder, data_dir: DataDir = None) -> None:
    """Copy the journal, its keys, models and data sets to DIR, and verify the copy. The server may run."""
    from helix_ray.backup import back_up

    home = home_of(data_dir)
    made = _run("backup", lambda progress: back_up(home, folder.resolve(), progress))
    for digest in made.damaged_blobs:
        say(f"helix backup: left out a damaged file, upload it again: {digest}")
    put(f"backed up {home} to {folder}: {_content(made)}, all verified")


def restore(folder: Folder, data_dir: DataDir = None) -> None:
    """Restore the backup in DIR as the data directory, which must be empty or must not exist."""
    from helix_ray import backup as module

    home = home_of(data_dir)
    made = _run("restore", lambda progress: module.restore(folder.resolve(), home, progress))
    put(f"restored {folder} to {home}: {_content(made)}, all verified")


def _content(made: Manifest) -> str:
    facts = f"facts 1 to {made.seq}"
    if not made.blobs:
        return facts
    return f"{facts} and {made.blobs} {'file' if made.blobs == 1 else 'files'} of models and data"


def home_of(data_dir: str | None) -> Path:
    """Return the data directory that is meant."""
    return Path(data_dir or os.environ.get("HELIX_DATA_DIR") or HOME).expanduser().resolve()


def _run(verb: str, work: Callable[[Callable[[str, float], None]], Manifest]) -> Manifest:
    """Run it, report progress every SAY_EVERY_S, and exit with one line and EXIT_FAILED on failure."""
    from helix_ray.backup import BackupFailed
    from helix_ray.private import keep_private

    keep_private()
    said = time.monotonic()

    def progress(what: str, share: float) -> None:
        nonlocal said
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            say(f"helix {verb}: {what}, {share:.0%}")

    try:
        return work(progress)
    except BackupFailed as failure:
        say(f"helix {verb}: {' '.join(str(failure).split())}")
        raise typer.Exit(EXIT_FAILED) from None
