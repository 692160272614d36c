"""How a process in the cluster begins: what it writes is its user's alone, and it logs to stderr, a line an event.

Ray keeps stderr in the session's logs. In a replica Serve takes the place of sys.stderr and drops what it gets there below
its own level, errors of ours with it: so the stream that the process began with is written to.
"""

from __future__ import annotations

import logging
import sys

from helix_ray.private import keep_private


def set_up() -> None:
    """Make files that only their user may read, and send warnings and our own information to stderr."""
    keep_private()
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.__stderr__)
    logging.getLogger("actors").setLevel(logging.INFO)
    logging.getLogger("helix_ray").setLevel(logging.INFO)
