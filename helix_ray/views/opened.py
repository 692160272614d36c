"""The history's file as a process has it open: for writing, or for reading only while it cannot be written.

A full or read-only disk must not keep anybody from reading. DuckDB opens a file there for reading, with the
write-ahead log that a kill has left. What it has open for writing it gives up for good where a checkpoint
fails; then the file is opened again, while queries wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from helix_ray.views.file import ATTACHED, HistoryClosed, open_history, open_reading


class OpenedFile:
    """One file; any thread may ask. Its connections are closed by those who asked for them."""

    def __init__(self, path: Path) -> None:
        """Open the file, for reading only where it cannot be opened for writing at the moment.

        Raises what `open_history` raises where it can be opened for neither.
        """
        self._path = path
        # Queries keep the file open; it can only be opened again while there are none.
        self._gate = threading.Condition()
        self._asking_now = 0
        self._shut = False
        self.unwritable: duckdb.Error | None = None
        self._root = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            root = open_history(self._path)
        except duckdb.Error as error:
            try:
                root = open_reading(self._path)
            except HistoryClosed:
                raise error from None
            self.unwritable = error
            return root
        self.unwritable = None
        return root

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection; it raises duckdb.FatalException once the file has to be opened again."""
        con = self._root.cursor()
        if self.unwritable is not None:
            con.execute(f"USE {ATTACHED}")
        return con

    @contextmanager
    def asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection for a question."""
        with self._gate:
            self._gate.wait_for(lambda: not self._shut)
            con = self.cursor()
            self._asking_now += 1
        try:
            yield con
        finally:
            con.close()
            with self._gate:
                self._asking_now -= 1
                self._gate.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Close the file while nobody asks, and open it again after the block; questions wait meanwhile."""
        with self._gate:
            self._shut = True
            self._gate.wait_for(lambda: not self._asking_now)
        try:
            self._root.close()
            try:
                yield
            finally:
                self._root = self._open()
        finally:
            with self._gate:
                self._shut = False
                self._gate.notify_all()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._gate:
            self._root.close()
