"""The hub of a replica's event streams: one reader of the journal for all of them, and their places.

    1. follow   while there are streams, one feed (helix_ray/plane/notice_feed.py) fills the ring
    2. mark     facts that end a session or change roles mark the streams that they concern
    3. wake     all streams take what is theirs from the ring; one that is behind it reads the journal

Marking comes before waking: a stream whose session ended with a fact shows nothing of what came after it.
Many streams are woken less often: a wake costs a write for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from helix_ray.config import Settings
from helix_ray.core import events as ev
from helix_ray.core.about import IDENTITY_FACTS
from helix_ray.core.access import Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.plane.notice_feed import NoticeFeed, Notices
from helix_ray.ports import ControlPlane
from serve_app.notice_ring import NoticeRing

log = logging.getLogger(__name__)

FEED_FACTS_MAX = 1_000
FEED_WAIT_S = 20.0
# How long the feed waits before it asks a control plane again that did not respond.
AGAIN_S = 0.5
# Between two wakes, for each stream: 500 streams are woken five times per second.
WAKE_S_PER_STREAM = 0.0004
# How often all streams look whether a bookmark is due, or their time is over: one timer for all of them.
LOOK_EVERY_S = 0.5
# How many streams read the journal at once, because they are behind the ring.
CATCH_UPS_MAX = 2
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams a replica serves, in all and to one user; how long a reader may take nothing, and how
    long a stream lasts, in seconds."""

    streams_max: int
    per_principal_max: int
    stall_s: float
    stream_s_max: float

    @classmethod
    def of(cls, settings: Settings) -> StreamLimits:
        """Return the limits of the settings."""
        return cls(
            settings.streams_max,
            settings.streams_per_principal_max,
            settings.stream_stall_s,
            settings.stream_s_max,
        )


class StreamPlace:
    """The place of one stream: whose it is, and whether they must be identified again."""

    __slots__ = ("by", "is_marked")

    def __init__(self, by: Principal) -> None:
        self.by = by
        self.is_marked = False


class Hub:
    """The streams of one replica; for use on one event loop."""

    def __init__(self, control: ControlPlane, limits: StreamLimits) -> None:
        self.limits = limits
        self.feed = NoticeFeed(control)
        self.catching_up = asyncio.Semaphore(CATCH_UPS_MAX)
        self.news = asyncio.Event()
        # None while nobody listens; a stream whose ring is another one ends.
        self.ring: NoticeRing | None = None
        self._places: dict[StreamPlace, None] = {}
        self._of_user: dict[str, int] = {}
        self._following: asyncio.Task[None] | None = None
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def place(self, by: Principal) -> Iterator[StreamPlace]:
        """Hold a place until the block ends; raise Refused (SERVICE_UNAVAILABLE) where all are taken."""
        self._refuse_more(by)
        place = StreamPlace(by)
        self._places[place] = None
        self._of_user[by.id] = self._of_user.get(by.id, 0) + 1
        try:
            yield place
        finally:
            del self._places[place]
            self._of_user[by.id] -= 1
            if not self._of_user[by.id]:
                del self._of_user[by.id]
            if not self._places:
                self._stop()

    def follow(self, start: int) -> NoticeRing:
        """Return the ring, which is filled from here on; `start` is the newest seq."""
        if self.ring is None:
            self.ring = NoticeRing(start)
            self._following = asyncio.get_running_loop().create_task(self._follow(self.ring))
            self._look()
        return self.ring

    async def close(self) -> None:
        """End all streams; safe to call twice."""
        following = self._following
        self._stop()
        if following is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await following

    def _refuse_more(self, by: Principal) -> None:
        limits = self.limits
        if self._of_user.get(by.id, 0) >= limits.per_principal_max:
            name, most, whose = "streams_per_principal_max", limits.per_principal_max, "this user"
        elif len(self._places) >= limits.streams_max:
            name, most, whose = "streams_max", limits.streams_max, "this server"
        else:
            return
        message = f"Too many event streams are open: the limit is {most} for {whose}"
        details = {name: most, "retry_after_s": RETRY_AFTER_S}
        raise Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, message, details))

    async def _follow(self, ring: NoticeRing) -> None:
        while True:
            try:
                found = await self.feed.after(ring.through, FEED_FACTS_MAX, FEED_WAIT_S)
                if found.head < ring.through:
                    # Another journal, perhaps a backup: cursors of this one mean nothing there.
                    self._stop()
                    return
                self._take(ring, found)
            except Refused as refused:
                log.warning("event streams wait for the control plane: %s", refused)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("event streams end: their feed failed")
                self._stop()
                return
            await asyncio.sleep(WAKE_S_PER_STREAM * len(self._places))

    def _take(self, ring: NoticeRing, found: Notices) -> None:
        if found.cursor <= ring.through:
            return
        ring.add(found.notices, found.cursor)
        for fact in found.facts:
            if type(fact.event) in IDENTITY_FACTS:
                self._mark(ev.subject_of(fact.event))
        self._wake()

    def _mark(self, ended: str) -> None:
        """Mark the streams of a user, session or API token."""
        for place in self._places:
            if ended in (place.by.id, place.by.session, place.by.token):
                place.is_marked = True

    def _look(self) -> None:
        self._wake()
        self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()

    def _stop(self) -> None:
        following, self._following, self.ring = self._following, None, None
        if following is not None and following is not _current_task():
            following.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._wake()


def _current_task() -> asyncio.Task[None] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
