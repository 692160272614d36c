"""Tells devices what has changed in what they follow: their rows are lists in one file, not a process each.

Each actor holds the devices of one shard, follows the journal, and answers their pulls
(helix_ray/sync/service.py). The supervisor starts the actors when the first device is enrolled ([ADR
79](../docs/adr/0079-devices-are-rows.md)). If the file is lost, devices start again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import sqlite3
import time
from collections.abc import Sequence

from actors.gateway import RayControlPlane
from actors.life import LivingActor, Work
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.questions import PullChanges
from helix_ray.core.views.sync import ChangesView, SyncStatusView
from helix_ray.derived import set_aside, sqlite_says_damaged
from helix_ray.followers.feed import BatchLimits, HeadFeed, PlaneFeed
from helix_ray.followers.following import Following
from helix_ray.journal.fact_reader import FactReader
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.ports import Batch, NotReady
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from helix_ray.sync.change_log import ChangeLog
from helix_ray.sync.desk import SyncDesk
from helix_ray.sync.enrolled import EnrolledDevices
from helix_ray.sync.service import SyncService

log = logging.getLogger(__name__)

CURSOR_PURPOSE = b"helix-ray sync cursors"
NICENESS = 2
# A transaction of a thousand facts takes some tens of milliseconds, and pulls wait meanwhile.
BATCH = BatchLimits(1_000)
TIDY_EVERY_S = 5.0
# How often to ask whether there is a device again, when all were revoked.
IDLE_S = 0.5
# Less than the callers' patience, see AnswerTimeouts in helix_ray/plane/calls.py.
FIRST_TRY_S_MAX = 2.0
BEHIND_S_MAX = 3.0
BEHIND = SourceUnavailable("sync", "it is behind the journal")


class SyncDevices(LivingActor):
    """Owns the file with the changes of one shard."""

    def __init__(self, settings: Settings, shard: int = 0) -> None:
        self._settings = settings
        self._shard = shard
        self._path = settings.data_dir / f"sync-{shard}.sqlite"
        super().__init__()
        os.nice(max(0, NICENESS - os.nice(0)))

    async def opening(self) -> None:
        """Open the file; a damaged one is set aside and made again from what there is."""
        data_dir = self._settings.data_dir
        ring = load_or_create_key(data_dir, HEAD_KEY_FILE)
        self._key = hmac.digest(ring.secrets[ring.current], CURSOR_PURPOSE, "sha256")
        self._plane = RayControlPlane(process="sync_devices")
        self._service = SyncService(self._begun, lambda asked: self._plane.query(asked, SYSTEM), BEHIND_S_MAX)
        feed = HeadFeed(PlaneFeed(self._plane), FactReader(data_dir))
        self._following = Following("sync", self, feed, BATCH)
        self._plane.report_lag(self._following.lag)

    def _begun(self) -> SyncDesk:
        board = EnrolledDevices(self._shard, self._settings.sync_shards)
        settings = self._settings
        return SyncDesk(self._opened(), self._key, settings.sync_interval_s, board, settings.sync_rows_max)

    def _opened(self) -> ChangeLog:
        try:
            return ChangeLog(self._path)
        except sqlite3.Error as error:
            if not sqlite_says_damaged(error):
                raise
            set_aside(self._path, error)
        return ChangeLog(self._path)

    def loops(self) -> Sequence[Work]:
        """Follow the journal, and remove old tombstones."""
        return (self._follow, self._tidy)

    async def stop(self) -> None:
        """Stop following the journal and close the file."""
        lived = self._life.lives
        self._life.stop()
        if lived:
            self._service.desk.tidy(time.time(), self._settings.sync_tombstones_keep_s)
            self._service.desk.log.close()

    # ------------------------------------------------------------------------------------------ calls

    async def pull(
        self, question: PullChanges, user: str, seq: int, wait_s: float
    ) -> ChangesView | Rejected | SourceUnavailable | NotReady:
        """Return the next page of changes for a device of a user, as of `seq` or later; waits for some up to
        `wait_s` seconds."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        return await self._service.pull(question, user, seq, wait_s) or BEHIND

    async def status(self, user: str | None, seq: int) -> SyncStatusView | SourceUnavailable | NotReady:
        """Return how the devices of a user (None: of all users) are doing, as of `seq` or later."""
        if (refusal := await self._life.not_ready(FIRST_TRY_S_MAX)) is not None:
            return refusal
        return await self._service.status(user, seq) or BEHIND

    # ------------------------------------------------------------------------------------------ loops

    @property
    def cursor(self) -> int:
        """The seq after which facts are wanted: followers.following.Consumer."""
        return self._service.desk.cursor

    async def take(self, batch: Batch) -> None:
        """Take facts into the lists; the cursor is in the same transaction."""
        await self._service.take(batch)

    async def beyond(self, head: int) -> None:
        """Make the file again from what there is."""
        try:
            set_aside(self._path, f"it has changes up to {self.cursor}, and the journal ends at {head}")
        finally:
            log.critical("the service of synced devices is restarting")
            logging.shutdown()
            os._exit(70)

    async def _follow(self) -> None:
        service = self._service
        if service.is_idle and not await service.has_devices():
            # Reading facts costs the master some microseconds each, and nobody wants them.
            await asyncio.sleep(IDLE_S)
            return
        if service.desk.is_due(time.time()):
            await self.take(Batch((), self.cursor, self.cursor))
        await self._following.step()

    async def _tidy(self) -> None:
        await asyncio.sleep(TIDY_EVERY_S)
        self._service.desk.tidy(time.time(), self._settings.sync_tombstones_keep_s)
