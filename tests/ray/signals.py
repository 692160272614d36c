"""Waiting for a condition of a live system, with an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_S_MAX = 60.0
LOOK_EVERY_S = 0.05
# Whoever asks a control plane that is killed again and again waits for its restarts.
ANSWER_S_MAX = 120.0


def until(condition: Callable[[], bool], wait_s: float = WAIT_S_MAX) -> None:
    """Return as soon as the condition holds; fail after `wait_s` seconds."""
    end = time.monotonic() + wait_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        pause.wait(LOOK_EVERY_S)


async def until_answered(ask: Callable[[], Awaitable[T | None]], wait_s: float = ANSWER_S_MAX) -> T:
    """Ask until somebody answers (None: nobody did); fail after `wait_s` seconds of the loop's clock."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    while (answer := await ask()) is None:
        assert clock() < end, "nobody answered"
        await asyncio.sleep(LOOK_EVERY_S)
    return answer
