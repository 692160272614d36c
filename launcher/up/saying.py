"""Writes the log of `helix up`, perhaps to a file on a full disk, and the few lines that its caller reads."""

from __future__ import annotations

import contextlib
import sys


def say(line: str) -> None:
    """Write a line to file descriptor 2, even where sys.stderr is redirected; a failure to write is
    ignored."""
    with contextlib.suppress(OSError):
        print(f"helix up: {line}", file=sys.__stderr__, flush=True)


def announce(line: str) -> None:
    """Write a line to file descriptor 1, even where sys.stdout is redirected; a failure to write is
    ignored."""
    with contextlib.suppress(OSError):
        print(line, file=sys.__stdout__, flush=True)
