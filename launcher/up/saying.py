"""What `helix up` says: lines of its log, which may be a file on a full disk, and the few that its caller reads."""

from __future__ import annotations

import contextlib
import sys


def say(line: str) -> None:
    """Write a line to stderr; one that cannot be written ends nothing."""
    with contextlib.suppress(OSError):
        print(f"helix up: {line}", file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """Write a line to the process's own standard output, wherever sys.stdout leads; nobody may be left to read it."""
    with contextlib.suppress(OSError):
        print(line, file=sys.__stdout__, flush=True)
