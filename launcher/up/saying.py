"""What `helix up` says of itself: a line of its log, which may be a file on a full disk."""

from __future__ import annotations

import contextlib
import sys


def say(line: str) -> None:
    """Write a line to stderr; one that cannot be written ends nothing."""
    with contextlib.suppress(OSError):
        print(f"helix up: {line}", file=sys.stderr, flush=True)
