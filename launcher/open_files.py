"""The limit of open files: raised as far as the system allows, with a warning where that is low."""

from __future__ import annotations

import resource

# The limit that Ray's documentation recommends.
OPEN_FILES = 65_536
# Ray's daemons, the actors and an API replica each need some hundreds at rest and one for each connection.
OPEN_FILES_MIN = 1_024


def raise_open_files() -> int:
    """Raise the soft limit of this process and its descendants to the hard limit; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if 0 <= soft < wanted:  # no limit at all is -1
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return OPEN_FILES if soft < 0 else soft


def too_few(allowed: int) -> str | None:
    """Return a warning for a limit that is too low; None otherwise."""
    if allowed >= OPEN_FILES_MIN:
        return None
    return (
        f"a process may have only {allowed} open files, but {OPEN_FILES_MIN} are needed to serve more "
        "than a few "
        f"connections: raise the hard limit (ulimit -Hn {OPEN_FILES}, or LimitNOFILE= of its service)"
    )
