"""Runs a function in a daemon thread and returns its result when it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """Starts when constructed. The main thread stays free for signals, and the process can exit meanwhile."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._work())
        except BaseException as error:
            self._error = error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it to end, up to the timeout; say whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, every_s: float | None = None, meanwhile: Callable[[], None] = lambda: None) -> T:
        """Return the function's result, or raise its exception; `meanwhile` is called at intervals until
        then."""
        while not self.wait(every_s):
            meanwhile()
        if self._error is not None:
            raise self._error
        return self._found[0]
