"""Counts all requests for rate limits: core/limits.QuotaServer with a life and a file, in
the supervisor's process.

Every grant is written to a small SQLite file before it is answered, so a killed quota server forgets nothing.
Unlike the journal the file survives only a crash of the process; a power loss can cost the last moments
(synchronous=OFF). While it cannot be written, counting continues in memory (actors/uses.py): a full disk is
not a reason to refuse requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from actors import names
from actors.life import Life
from actors.uses import UseStore
from helix_ray.config import Settings
from helix_ray.core.clock_watch import ClockWatch
from helix_ray.core.limits import Ask, QuotaServer, TokenLease, UnspentUnits
from helix_ray.plane.calls import until_answered
from helix_ray.plane.links import Links
from helix_ray.plane.ray_links import RayLinks
from helix_ray.ports import STARTING, NotReady

FILE_NAME = "limits.sqlite"
SWEEP_EVERY_S = 60.0
# Less than the patience of a caller, see QuotaServerLink.
FIRST_TRY_S_MAX = 2.0
RESEND_S = 4.0


class QuotaService:
    """Grants token leases to API replicas. Its life is separate: if its file cannot be opened, the
    supervisor works anyway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._life = Life("the quota server", self._opening)

    def begin(self) -> None:
        """Begin its life on the calling event loop."""
        self._life.begin()

    def hindrance(self) -> str | None:
        """Return why leases cannot be granted; None if they can."""
        return None if self._life.lives else self._life.reason or STARTING

    async def _opening(self) -> None:
        """Load the counts from the file; a damaged file is set aside, an unwritable one is tried again."""
        self._store = UseStore(self._settings.data_dir / FILE_NAME)
        rows = await asyncio.to_thread(self._store.load)
        self._quota_server = QuotaServer(self._settings.rate_limits())
        self._watch = ClockWatch(time.time(), time.monotonic())
        self._quota_server.restore(rows, time.time())
        self._swept = time.time()
        self._save()

    async def grant(self, asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> list[TokenLease] | NotReady:
        """Take back unspent leases and grant new ones; they are saved before this returns, if possible."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        now = time.time()
        if back_s := self._watch.back_s(now, time.monotonic()):
            self._watch.note(back_s)
            self._quota_server.set_back(now)
            self._swept = now
        for back in backs:
            self._quota_server.give_back(back)
        leases = [self._quota_server.grant(ask, now) for ask in asks]
        self._save()
        return leases

    def _save(self) -> None:
        now = time.time()
        before = None
        if now - self._swept > SWEEP_EVERY_S:
            self._swept, before = now, self._quota_server.rows_end_before(now)
        self._store.save(self._quota_server.changes(), before)


class QuotaServerAway(Exception):
    """The quota server does not run; the message is its reason."""


class QuotaServerLink:
    """The quota server as an API replica calls it: `AskQuotaServer` of serve_app/edge/limiter.py."""

    def __init__(self, links: Links | None = None) -> None:
        self._links = links or RayLinks()

    async def __call__(self, asks: Sequence[Ask], backs: Sequence[UnspentUnits]) -> Sequence[TokenLease]:
        """Repeat the call until the quota server responds, for at most RESEND_S; a repeated
        call can only count more.

        Leases are given back only once. Raises Away, CallFailed or QuotaServerAway when it does not respond.
        """
        left = list(backs)

        async def ask() -> Sequence[TokenLease] | NotReady:
            once, left[:] = list(left), []
            leases: Sequence[TokenLease] | NotReady = await self._links.call(
                names.SUPERVISOR, "grant", list(asks), once
            )
            return leases

        leases = await until_answered(ask, RESEND_S)
        if isinstance(leases, NotReady):
            raise QuotaServerAway(leases.reason or STARTING)
        return leases
