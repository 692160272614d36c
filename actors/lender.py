"""The one place where rate limits are counted: a Ray shell round core/limits.Lender.

Every grant is in a small SQLite file before it is answered, so a killed lender forgets nothing. The file is not
the journal: it survives a crash of the process, and a power loss costs at most the last moments (synchronous=OFF).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from actors import names
from actors.life import STARTING, LivingActor
from helix_ray.config import Settings
from helix_ray.core.limits import Ask, GiveBack, Lender, Row, Slice
from helix_ray.derived import set_aside, sqlite_says_damaged
from helix_ray.ports import NotReady
from helix_ray.private import make_file

log = logging.getLogger(__name__)

FILE_NAME = "limits.sqlite"
SWEEP_EVERY_S = 60.0
# Less than a caller waits for the whole: see LenderLink.
FIRST_TRY_S_MAX = 2.0
RESEND_S = 4.0
RESEND_EVERY_S = 0.1


class LenderActor(LivingActor):
    """Lends slices to API replicas."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    async def opening(self) -> None:
        """Open the file and take the counts from it; a damaged one is set aside, and counting begins anew."""
        self._path = self._settings.data_dir / FILE_NAME
        self._store, rows = await asyncio.to_thread(_open, self._path)
        self._lender = Lender(self._settings.rate_limits())
        self._lender.restore(rows, time.time())
        self._swept = time.time()
        self._save()

    async def lend(self, asks: Sequence[Ask], backs: Sequence[GiveBack]) -> list[Slice] | NotReady:
        """Take back what was not spent and grant slices; they are counted durably before this returns."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        now = time.time()
        for back in backs:
            self._lender.give_back(back)
        slices = [self._lender.lend(ask, now) for ask in asks]
        try:
            self._save()
        except sqlite3.Error as error:
            if sqlite_says_damaged(error):
                # The next life opens the file again, finds the same, and sets it aside.
                log.critical("%s is damaged; the lender ends and is started again: %s", self._path, error)
                logging.shutdown()
                os._exit(70)
            raise
        return slices

    def _save(self) -> None:
        changes = self._lender.changes()
        now = time.time()
        sweep = now - self._swept > SWEEP_EVERY_S
        if not changes and not sweep:
            return
        self._store.execute("BEGIN")
        self._store.executemany(
            "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (key, stamp) DO UPDATE SET units = excluded.units",
            [row for row in changes if row.units],
        )
        self._store.executemany(
            "DELETE FROM uses WHERE key = ? AND stamp = ?",
            [(row.key, row.stamp) for row in changes if not row.units],
        )
        if sweep:
            self._swept = now
            self._store.execute("DELETE FROM uses WHERE stamp < ?", (self._lender.rows_end_before(now),))
        self._store.execute("COMMIT")


def _open(path: Path) -> tuple[sqlite3.Connection, list[Row]]:
    """Open the file and read it whole, which finds most of what can be wrong with it."""
    if path.is_dir():
        set_aside(path, "it is a folder")
    try:
        return _read(path)
    except sqlite3.Error as error:
        if not sqlite_says_damaged(error):
            raise
        set_aside(path, error)
    return _read(path)


def _read(path: Path) -> tuple[sqlite3.Connection, list[Row]]:
    # Opened on a thread beside the actor's event loop, used on the loop.
    make_file(path)
    store = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=OFF")
        store.execute(
            "CREATE TABLE IF NOT EXISTS uses (key TEXT, stamp REAL, units INTEGER, PRIMARY KEY (key, stamp)) WITHOUT ROWID"
        )
        return store, [Row(*row) for row in store.execute("SELECT key, stamp, units FROM uses")]
    except BaseException:
        store.close()
        raise


class LenderAway(Exception):
    """The lender does not live; the message is its reason."""


class LenderLink:
    """The lender as an API replica calls it: `AskLender` of serve_app/edge/limiter.py."""

    def __init__(self) -> None:
        self._handle: Any = None

    async def __call__(self, asks: Sequence[Ask], backs: Sequence[GiveBack]) -> Sequence[Slice]:
        """Ask until the lender answers, for RESEND_S at most; asking twice counts more, never less.

        What is given back goes out once only. Raises RayError, ValueError or LenderAway when it does not come back.
        """
        end = time.monotonic() + RESEND_S
        while True:
            try:
                if self._handle is None:
                    self._handle = await asyncio.to_thread(names.find, names.LENDER)
                slices: Sequence[Slice] | NotReady = await self._handle.lend.remote(list(asks), list(backs))
                if isinstance(slices, NotReady):
                    raise LenderAway(slices.reason or STARTING)
            except (RayError, ValueError, LenderAway):
                self._handle, backs = None, ()
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(RESEND_EVERY_S)
            else:
                return slices
