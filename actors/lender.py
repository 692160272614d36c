"""The one place where rate limits are counted: a Ray shell round core/limits.Lender.

Every grant is in a small SQLite file before it is answered, so a killed lender forgets nothing. The file is not
the journal: it survives a crash of the process, and a power loss costs at most the last moments (synchronous=OFF).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayError

from actors import names
from actors.logs import set_up
from helix_ray.config import Settings
from helix_ray.core.limits import Ask, GiveBack, Lender, Policy, Row, Slice
from helix_ray.private import make_file

SWEEP_EVERY_S = 60.0
RESEND_S = 4.0
RESEND_EVERY_S = 0.1


def policies(settings: Settings) -> dict[str, Policy]:
    """Return the limits that the settings ask for."""
    window = settings.rate_limit_window_s
    return {
        "authenticated": Policy("authenticated", settings.rate_limit_authenticated, window),
        "anonymous": Policy("anonymous", settings.rate_limit_unauthenticated, window),
        "login": Policy("login", settings.login_limit_per_minute, 60.0, ttl_s=0.5),
    }


class LenderActor:
    """Lends slices to API replicas."""

    def __init__(self, settings: Settings) -> None:
        set_up()
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_file(settings.data_dir / "limits.sqlite")
        self._store = sqlite3.connect(settings.data_dir / "limits.sqlite", isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=OFF")
        self._store.execute(
            "CREATE TABLE IF NOT EXISTS uses (key TEXT, stamp REAL, units INTEGER, PRIMARY KEY (key, stamp)) WITHOUT ROWID"
        )
        self._lender = Lender(policies(settings).values())
        rows = [Row(*row) for row in self._store.execute("SELECT key, stamp, units FROM uses")]
        self._lender.restore(rows, time.time())
        self._swept = time.time()
        self._save()

    async def lend(self, asks: Sequence[Ask], backs: Sequence[GiveBack]) -> list[Slice]:
        """Take back what was not spent and grant slices; they are counted durably before this returns."""
        now = time.time()
        for back in backs:
            self._lender.give_back(back)
        slices = [self._lender.lend(ask, now) for ask in asks]
        self._save()
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


class LenderLink:
    """The lender as an API replica calls it: `AskLender` of serve_app/edge/limiter.py."""

    def __init__(self) -> None:
        self._handle: Any = None

    async def __call__(self, asks: Sequence[Ask], backs: Sequence[GiveBack]) -> Sequence[Slice]:
        """Ask until the lender answers, for RESEND_S at most; asking twice counts more, never less.

        What is given back goes out once only. Raises RayError or ValueError when the lender does not come back.
        """
        end = time.monotonic() + RESEND_S
        while True:
            try:
                if self._handle is None:
                    self._handle = await asyncio.to_thread(names.find, names.LENDER)
                slices: Sequence[Slice] = await self._handle.lend.remote(list(asks), list(backs))
            except (RayError, ValueError):
                self._handle, backs = None, ()
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(RESEND_EVERY_S)
            else:
                return slices
