"""Sets up a process in the cluster: private files, and a log on stderr with a line for each event.

Ray keeps stderr in the session's logs. In a replica Serve replaces sys.stderr and drops lines below its own
level, our errors included, so the log is written to the original stream.
"""

from __future__ import annotations

import logging
import sys

from helix_ray.private import keep_private


def set_up() -> None:
    """Make files private to their user, and log warnings and our own information to stderr."""
    keep_private()
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.__stderr__)
    logging.getLogger("actors").setLevel(logging.INFO)
    logging.getLogger("helix_ray").setLevel(logging.INFO)
