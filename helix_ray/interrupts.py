"""Ctrl-C while a program is still loading.

Its modules take a while, and Python's own handler would interrupt any of them with a traceback.
"""

from __future__ import annotations

import signal
from typing import Any


def end_at_interrupt() -> Any:
    """Let Ctrl-C end this process by the signal itself, unless it is ignored; return the handler before."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return handler
