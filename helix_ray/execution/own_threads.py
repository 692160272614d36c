"""Threads of our own library that may outlast the function that started them: they run none of its code."""

from __future__ import annotations

import threading
from weakref import WeakSet

_own: WeakSet[threading.Thread] = WeakSet()


def may_stay(thread: threading.Thread) -> None:
    """Record a thread that serves every function of this process."""
    _own.add(thread)


def is_own(thread: threading.Thread) -> bool:
    """Say whether a thread was recorded."""
    return thread in _own
