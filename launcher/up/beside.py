"""Work beside the main thread: done in a thread that ends with the process, and asked
for when it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """Runs when made. The main thread stays free for signals, and the end of
    the process waits for nothing."""

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
        """Wait for its end, for so long at most; say whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, every_s: float | None = None, meanwhile: Callable[[], None] = lambda: None) -> T:
        """Return what it found, or raise what it raised; `meanwhile` is called every so often until then."""
        while not self.wait(every_s):
            meanwhile()
        if self._error is not None:
            raise self._error
        return self._found[0]
