"""How an actor's process begins: what it writes is its user's alone, and it logs to stderr, a line an event.

Ray keeps stderr in the session's logs.
"""

from __future__ import annotations

import logging

from helix_ray.private import keep_private


def set_up() -> None:
    """Make files that only their user may read, and send warnings and our own information to stderr."""
    keep_private()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("actors").setLevel(logging.INFO)
    logging.getLogger("helix_ray").setLevel(logging.INFO)
