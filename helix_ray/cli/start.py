"""The start of `helix`: Ctrl-C ends it at any time, and never with a traceback."""

from __future__ import annotations

import os
import signal

from helix_ray.interrupts import end_at_interrupt


def start() -> None:
    """Run the program."""
    handler = end_at_interrupt()
    from helix_ray.cli.main import app

    signal.signal(signal.SIGINT, handler)
    try:
        app()
    except KeyboardInterrupt:
        # Between the loading and the command.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
