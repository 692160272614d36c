"""Waiting for a condition of a live system, with an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_S_MAX = 60.0
LOOK_EVERY_S = 0.05


def until(condition: Callable[[], bool], wait_s: float = WAIT_S_MAX) -> None:
    """Return as soon as the condition holds; fail after `wait_s` seconds."""
    end = time.monotonic() + wait_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        pause.wait(LOOK_EVERY_S)
