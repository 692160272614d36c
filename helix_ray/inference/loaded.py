"""The sessions of a process: one for each digest and plan, least recently used first to go, within a memory
budget."""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from helix_ray.inference.sessions import SessionPlan

if TYPE_CHECKING:
    import onnxruntime

LOADED_BYTES_MAX = 1024 * 1024 * 1024
"""Memory for sessions, in bytes. A single model may have more, and is then the only one."""

BYTES_PER_FILE_BYTE = 2
"""What a session is counted as for each byte of its file: the weights once more in the order of the
kernels."""

Key: TypeAlias = tuple[str, SessionPlan]


class LoadedSessions:
    """Thread safe: a model is loaded once though several threads ask for it, and while it is loaded others
    are used.

    Whoever has got a session may use it though it has been let go meanwhile; its memory returns with the
    last use.
    """

    def __init__(self, bytes_max: int = LOADED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()  # guards the three below
        self._sessions: OrderedDict[Key, tuple[onnxruntime.InferenceSession, int]] = OrderedDict()
        self._loading: dict[Key, threading.Lock] = {}
        self._bytes = 0

    def get(
        self, key: Key, file_bytes: int, load: Callable[[], onnxruntime.InferenceSession]
    ) -> onnxruntime.InferenceSession:
        """Return the session of `key`; where it is not loaded, make room for it and `load` it."""
        with self._lock:
            if (found := self._used(key)) is not None:
                return found
            gate = self._loading.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                if (found := self._used(key)) is not None:
                    return found
                let_go = self._make_room(file_bytes * BYTES_PER_FILE_BYTE)
            if let_go:
                _return_memory()
            try:
                return self._keep(key, file_bytes * BYTES_PER_FILE_BYTE, load())
            finally:
                with self._lock:
                    self._loading.pop(key, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def _used(self, key: Key) -> onnxruntime.InferenceSession | None:
        found = self._sessions.get(key)
        if found is None:
            return None
        self._sessions.move_to_end(key)
        return found[0]

    def _keep(
        self, key: Key, bytes_: int, session: onnxruntime.InferenceSession
    ) -> onnxruntime.InferenceSession:
        with self._lock:
            self._make_room(bytes_)  # others may have been loaded at the same time
            self._sessions[key] = (session, bytes_)
            self._bytes += bytes_
        return session

    def _make_room(self, bytes_: int) -> bool:
        """Let go what was used longest ago until `bytes_` fit; return whether anything went."""
        before = len(self._sessions)
        while self._sessions and self._bytes + bytes_ > self._bytes_max:
            _, (_, freed) = self._sessions.popitem(last=False)
            self._bytes -= freed
        return len(self._sessions) < before


def _return_memory() -> None:
    """Have the C library return freed memory to the kernel, which it else keeps for later."""
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
