"""How many files and connections a process may have open: raised as far as the system allows, and
said where that is little."""

from __future__ import annotations

import resource

# What Ray asks for in its own examples.
OPEN_FILES = 65_536
# Ray's daemons, the actors and an API replica each need some hundreds at rest and one for each connection.
OPEN_FILES_MIN = 1_024


def raise_open_files() -> int:
    """Raise the soft limit of this process, and so of all that it starts, to the hard
    one; return what is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if 0 <= soft < wanted:  # no limit at all is -1
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return OPEN_FILES if soft < 0 else soft


def too_few(allowed: int) -> str | None:
    """Return the sentence for a limit that is low; None for one that is not."""
    if allowed >= OPEN_FILES_MIN:
        return None
    return (
        f"a process may have only {allowed} open files, but {OPEN_FILES_MIN} are needed to serve more than a few "
        f"connections: raise the hard limit (ulimit -Hn {OPEN_FILES}, or LimitNOFILE= of its service)"
    )
