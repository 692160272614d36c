"""Where a device keeps its state: a file that is replaced whole, or memory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
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


class StoreTaken(Exception):
    """Another program has opened the device since: what this one would save might overwrite changes of that
    one."""


class FileStore:
    """Keeps the state in a file of its own (mode 0600): it contains the device's credential.

    Only who has opened it last may save: each takes the next turn, whose number stands in `NAME.turn`.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._turn: int | None = None

    def load(self) -> State | None:
        """Return what was saved last. A draft that a killed process left behind is not looked at."""
        with self._turns() as turns:
            self._take(turns)
            try:
                return orjson.loads(self._path.read_bytes())  # type: ignore[no-any-return]
            except FileNotFoundError:
                return None

    def save(self, state: State) -> None:
        """Write beside the file, make it durable, and put it in the file's place. Raises StoreTaken."""
        with self._turns() as turns:
            if self._turn is None:
                self._take(turns)
            elif _number(turns) != self._turn:
                message = f"{self._path} was opened by another program: load it again to go on here"
                raise StoreTaken(message)
            self._write(state)

    def _write(self, state: State) -> None:
        draft = self._path.with_name(f"{self._path.name}.draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        sync(self._path.parent)

    @contextmanager
    def _turns(self) -> Iterator[int]:
        """Hold the file of turns while the block reads or replaces the state; gives its descriptor."""
        path = self._path.with_name(f"{self._path.name}.turn")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _take(self, turns: int) -> None:
        self._turn = _number(turns) + 1
        os.pwrite(turns, b"%d\n" % self._turn, 0)


def _number(turns: int) -> int:
    text = os.pread(turns, 32, 0).strip()
    return int(text) if text.isdigit() else 0
