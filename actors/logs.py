"""Logging of the actors: one line an event, to stderr, where Ray keeps it in the session's logs."""

from __future__ import annotations

import logging


def set_up() -> None:
    """Send warnings and our own information to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("actors").setLevel(logging.INFO)
    logging.getLogger("helix_ray").setLevel(logging.INFO)
