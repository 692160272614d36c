"""Requests without a pause, while something happens to whoever answers them."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable


class Asking:
    """Requests from several threads, each on a connection of its own, until it ends;
    counts what came of them.

    `ask` opens a connection, asks, closes it, and returns who answered; it raises OSError or
    HTTPException otherwise.
    """

    def __init__(self, ask: Callable[[], object], threads: int) -> None:
        self.came: Counter[str] = Counter()
        self.answered_by: Counter[object] = Counter()
        self._ask = ask
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self.answered_by[self._ask()] += 1
                self.came["ok"] += 1
            except ConnectionRefusedError:
                self.came["refused"] += 1
            except (OSError, http.client.HTTPException):
                self.came["broken"] += 1
