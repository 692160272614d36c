"""Calls that may hang: a thread in a driver cannot be ended, so it is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

CALL_S_MAX = 2.0

T = TypeVar("T")


class DriverHangs(Exception):
    """A call did not return in time, or the one before it still has not."""


class Watched:
    """Makes calls one at a time, each in a thread of its own, and waits at most `call_s_max` for one."""

    def __init__(self, name: str, call_s_max: float = CALL_S_MAX) -> None:
        self._name = name
        self._call_s_max = call_s_max
        self._thread: threading.Thread | None = None

    def call(self, work: Callable[[], T]) -> T:
        """Return what the call returns, raise what it raises, or DriverHangs: then nothing is called
        until it returns."""
        if self._thread is not None and self._thread.is_alive():
            raise DriverHangs(self._name)
        outcome: list[Any] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:  # it is raised by whoever waits
                raised.append(error)

        self._thread = threading.Thread(target=run, name=f"reads {self._name}", daemon=True)
        self._thread.start()
        self._thread.join(self._call_s_max)
        if self._thread.is_alive():
            raise DriverHangs(self._name)
        if raised:
            raise raised[0]
        result: T = outcome[0]
        return result
