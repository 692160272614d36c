"""The start of `helix`: Ctrl-C ends it at any time, and never with a traceback."""

from __future__ import annotations

import os
import signal


def start() -> None:
    """Run the program."""
    # Its modules take a while to load: until then the signal itself ends this process, without Python.
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from helix_ray.cli.main import app

    signal.signal(signal.SIGINT, handler)
    try:
        app()
    except KeyboardInterrupt:
        # Between the loading and the command.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
