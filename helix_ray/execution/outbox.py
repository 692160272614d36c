"""Sends reports to the node worker: in batches, in order, without long delays."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from helix_ray.execution.assignment import Message, Progressed, Report, ReportItem
from helix_ray.execution.frames import FrameError, encode

REPORT_ITEMS_MAX = 64
"""A report is sent when it has this many items."""

REPORT_AGE_S_MAX = 0.005
"""A report is sent when its oldest item is this old, in seconds, whatever runs meanwhile. An item that is put
so long after the last report is sent at once, and so is progress: code that holds the interpreter's lock
afterwards keeps back only ends that are younger."""


class Outbox:
    """Sends from any thread; errors of a broken connection are ignored, because
    its reader notices the end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = (
            threading.Lock()
        )  # held while collecting and sending, so that reports keep their order
        self._lock = threading.Lock()  # guards all below
        self._condition = threading.Condition(self._lock)
        self._items: list[ReportItem] = []
        self._oldest_at = 0.0
        self._sent_at = 0.0
        self._idle = False
        self._closed = False
        self._flusher = threading.Thread(target=self._flush_old, name="helix-outbox", daemon=True)
        self._flusher.start()

    def put(self, item: ReportItem) -> None:
        """Add an item to the next report, and send the report where it is full or must not wait."""
        now = time.monotonic()
        with self._lock:
            items = self._items
            if not items:
                self._oldest_at = now
            items.append(item)
            due = (
                len(items) >= REPORT_ITEMS_MAX
                or now - self._sent_at >= REPORT_AGE_S_MAX
                or type(item) is Progressed
            )
            if self._idle and not due:
                self._idle = False
                self._condition.notify()
        if due:
            self.flush()

    def flush(self) -> None:
        """Send the collected items."""
        with self._sending:
            with self._lock:
                items, self._items = self._items, []
                self._sent_at = time.monotonic()
            if items:
                self._send_report(tuple(items))

    def send(self, message: Message) -> None:
        """Send another message after the items before it."""
        self.flush()
        with self._sending:
            self._send(encode(message))

    def close(self) -> None:
        """Send the collected items and stop; safe to call twice."""
        self.flush()
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._flusher.join()

    def _send_report(self, items: tuple[ReportItem, ...]) -> None:
        try:
            self._send(encode(Report(items)))
        except FrameError:
            if len(items) == 1:
                raise
            for item in items:  # each item fits alone: the limit of a result is far below that of a frame
                self._send(encode(Report((item,))))

    def _send(self, frame: bytes) -> None:
        with contextlib.suppress(OSError):
            self._connection.sendall(frame)

    def _flush_old(self) -> None:
        while self._wait_for_old():
            self.flush()

    def _wait_for_old(self) -> bool:
        """Return True when the oldest item is due, False when the box is closed."""
        with self._condition:
            while not self._closed:
                if not self._items:
                    self._idle = True
                    self._condition.wait()
                    continue
                left = self._oldest_at + REPORT_AGE_S_MAX - time.monotonic()
                if left <= 0:
                    return True
                self._condition.wait(left)
            return False
