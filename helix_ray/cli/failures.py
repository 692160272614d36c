"""How commands end that work on files: with one line that says why."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from helix_ray.cli.backup import EXIT_FAILED
from helix_ray.cli.output import say
from helix_ray.derived import sqlite_says_damaged

T = TypeVar("T")


def reason_of(error: Exception) -> str:
    """Return why something failed, in one line: of a file, which one."""
    text = str(error)
    if isinstance(error, sqlite3.Error) and sqlite_says_damaged(error):
        # The commands read no other SQLite file, and SQLite's message does not name it.
        text = f"journal.sqlite cannot be read ({text}): restore a backup, see docs/operations.md"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())


def where(error: Exception) -> str:
    """Return the file and line of this program where an error arose."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "helix_ray" in frame.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"


def plainly(command: str, work: Callable[[], T]) -> T:
    """Do it; where it cannot be done, or something does not fit, end with one line and EXIT_FAILED."""
    from helix_ray.audit_export.lines import NotAnExport
    from helix_ray.audit_export.verify import Tampered
    from helix_ray.checkpoints import CheckpointFailed
    from helix_ray.journal.errors import JournalError
    from helix_ray.security.keys import KeyFileUnsafe
    from helix_ray.security.notes import NoteRefused

    try:
        return work()
    except (
        Tampered,
        NotAnExport,
        CheckpointFailed,
        NoteRefused,
        JournalError,
        KeyFileUnsafe,
        OSError,
        ValueError,
        sqlite3.Error,
    ) as error:
        say(f"helix {command}: {reason_of(error)}")
        raise typer.Exit(EXIT_FAILED) from None
