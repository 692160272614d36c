"""Makes snapshots of a large state without stopping its owner: a forked child process has
the state as of the fork.

The child serialises it and exits; the parent only writes the bytes to the journal. The child must not affect
others: it closes no sockets, writes only to a memory file (memfd), and dies with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sqlite3
import struct
import time
from collections.abc import Callable

from helix_ray.core import snapshot
from helix_ray.engine import Engine
from helix_ray.journal import pages
from helix_ray.journal.sqlite import SqliteJournal

log = logging.getLogger(__name__)

LENGTH = struct.Struct("<Q")
LOOK_EVERY_S = 0.05
CHILD_S_MAX = 600.0
# The pause after a failed snapshot.
TRY_AGAIN_S = 60.0
PR_SET_PDEATHSIG = 1
CHILD_NICENESS = 5


class Snapshotter:
    """Saves snapshots of one engine in its journal, one at a time."""

    def __init__(self, engine: Engine, journal: Callable[[], SqliteJournal]) -> None:
        """`journal` returns the current journal, which may be reopened while a snapshot is made."""
        self._engine = engine
        self._journal = journal
        self._not_before = 0.0

    async def keep_if_due(self) -> None:
        """Save a snapshot when one is due; a failure is logged and tried again later."""
        if not self._engine.snapshot_due() or time.monotonic() < self._not_before:
            return
        if not await self.keep():
            log.error("could not make a snapshot; the next start has to fold more facts")
            self._not_before = time.monotonic() + TRY_AGAIN_S

    async def keep(self) -> bool:
        """Save a snapshot of the current state; say whether that succeeded."""
        seq = self._engine.state.seq
        file = os.memfd_create("helix-snapshot", os.MFD_CLOEXEC)
        try:
            try:
                child = os.fork()
            except OSError:
                log.exception("cannot start a process for a snapshot")
                return False
            if child == 0:
                _dump_and_die(self._engine, file)
            await _ended(child)
            packed = await asyncio.to_thread(_read, file)
        finally:
            os.close(file)
        if packed is None:
            return False
        try:
            self._journal().save_packed_snapshot(seq, snapshot.FOLD_VERSION, packed)
        except (OSError, sqlite3.Error) as error:
            log.warning("could not write the snapshot at %d: %s", seq, error)
            return False
        self._engine.snapshot_kept(seq)
        return True


def _dump_and_die(engine: Engine, file: int) -> None:
    """In the child: write the packed state, its length last, and exit without the parent's cleanup."""
    code = 1
    try:
        gc.disable()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(CHILD_NICENESS)
        packed = pages.pack(snapshot.parts(engine.state))
        with memoryview(packed) as rest:
            done = 0
            while done < len(rest):
                done += os.pwrite(file, rest[done:], LENGTH.size + done)
        # The length is written last: it marks the content as complete.
        os.pwrite(file, LENGTH.pack(len(packed)), 0)
        code = 0
    finally:
        os._exit(code)


async def _ended(child: int) -> None:
    end = time.monotonic() + CHILD_S_MAX
    try:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            await asyncio.sleep(LOOK_EVERY_S)
    except ChildProcessError:
        # Other code in this process has reaped it.
        return
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise


def _read(file: int) -> bytes | None:
    header = os.pread(file, LENGTH.size, 0)
    if len(header) < LENGTH.size or not (length := LENGTH.unpack(header)[0]):
        return None
    with os.fdopen(os.dup(file), "rb") as packed:
        packed.seek(LENGTH.size)
        body = packed.read(length)
    return body if len(body) == length else None
