"""Interrupts Python code that runs too long, or whose node worker is gone, without ending the process.

A thread waits for the deadline of the running call. It raises in the running thread with
PyThreadState_SetAsyncExc (docs.python.org, C API) and then sends that thread a signal, because such an
exception is noticed only between bytecodes, and the signal interrupts a sleep or a read. Code that stays in C
notices neither; then the node worker must kill the process.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

WAKE_SIGNAL = signal.SIGURG
"""Ignored by default, so a late one can hurt nobody."""

_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
_clear_exception = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class Interrupted(BaseException):
    """Raised inside the running code; a BaseException so that `except Exception` does not swallow it."""


class Deadline:
    """Runs calls on the thread that constructed it, each with a time limit."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()  # guards all below
        self._condition = threading.Condition(self._lock)
        self._due_at: float | None = None
        self._wakes_at: float | None = None
        self._running = False
        self._fired = False
        self._refuses = False
        self._closed = False
        self._signals = threading.current_thread() is threading.main_thread()
        self._waiter = threading.Thread(target=self._wait, name="helix-deadline", daemon=True)
        if self._signals:  # Python takes signals on the main thread only
            self._old_handler = signal.signal(WAKE_SIGNAL, lambda *_: None)
        self._waiter.start()

    def call(self, function: Callable[[], Any], timeout_s: float | None) -> Any:
        """Return function(); raises Interrupted where the limit passed or `interrupt` came,
        even if that was caught."""
        self._arm(timeout_s)
        try:
            value = function()
        finally:
            fired = self._disarm()
        if fired:
            raise Interrupted
        return value

    @property
    def fired(self) -> bool:
        """Whether the last call was interrupted, even if it raised another exception."""
        return self._fired

    def interrupt(self) -> None:
        """Raise Interrupted in the running call and in every later one. Thread safe."""
        with self._condition:
            self._refuses = True
            self._fire()

    def close(self) -> None:
        """End the waiting thread; safe to call twice."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._waiter.join()
        if self._signals:
            signal.signal(WAKE_SIGNAL, self._old_handler or signal.SIG_DFL)
            self._signals = False

    def _arm(self, timeout_s: float | None) -> None:
        with self._lock:
            self._running = True
            self._fired = False
            if self._refuses:
                self._fire()
            elif timeout_s is not None:
                self._due_at = time.monotonic() + timeout_s
                if self._wakes_at is None or self._due_at < self._wakes_at:
                    self._wakes_at = self._due_at
                    self._condition.notify()

    def _disarm(self) -> bool:
        """Return whether the call was interrupted; afterwards no exception is pending."""
        while True:
            try:
                with self._lock:
                    self._running = False
                    self._due_at = None
                    if self._fired:
                        _clear_exception(self._thread, None)
                    return self._fired
            except Interrupted:  # raised between the call's end and the lock
                continue

    def _fire(self) -> None:
        if self._running and not self._fired:
            self._fired = True
            _set_exception(self._thread, Interrupted)
            if self._signals:
                signal.pthread_kill(self._thread, WAKE_SIGNAL)

    def _wait(self) -> None:
        with self._condition:
            while not self._closed:
                now = time.monotonic()
                if self._due_at is not None and self._due_at <= now:
                    self._fire()
                    self._due_at = None
                # A wake-up stays after its call has ended: calls with equal limits then need no wake-up each.
                if self._due_at is not None:
                    self._wakes_at = self._due_at
                elif self._wakes_at is not None and self._wakes_at <= now:
                    self._wakes_at = None
                self._condition.wait(None if self._wakes_at is None else self._wakes_at - now)
