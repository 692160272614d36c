"""Where a device keeps its state: a file that is replaced whole, or memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import orjson

from helix_ray.durable import sync

State = dict[str, Any]


class Store(Protocol):
    """Keeps one JSON value; `save` returns when it is kept."""

    def load(self) -> State | None:
        """Return what was saved last; None: nothing was."""
        ...

    def save(self, state: State) -> None:
        """Replace what is kept, all of it or nothing."""
        ...


class MemoryStore:
    """Keeps the state as long as the object lives."""

    def __init__(self) -> None:
        self._kept: bytes | None = None

    def load(self) -> State | None:
        """Return what was saved last."""
        return None if self._kept is None else orjson.loads(self._kept)

    def save(self, state: State) -> None:
        """Replace what is kept."""
        self._kept = orjson.dumps(state)


class FileStore:
    """Keeps the state in a file of its own (mode 0600): it contains the device's credential."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    def load(self) -> State | None:
        """Return what was saved last. A draft that a killed process left behind is not looked at."""
        try:
            return orjson.loads(self._path.read_bytes())  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def save(self, state: State) -> None:
        """Write beside the file, make it durable, and put it in the file's place."""
        draft = self._path.with_name(f"{self._path.name}.draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        sync(self._path.parent)
