"""The hub of a replica's event streams: one reader of the journal for all of them, and their places.

    1. follow   while there are streams, one feed (helix_ray/plane/notice_feed.py) fills the ring
    2. mark     facts that end a session or change roles mark the streams that they concern
    3. wake     all streams take what is theirs from the ring; one that is behind it reads the journal

Marking comes before waking: a stream whose session ended with a fact shows nothing of what came after it.
A wake costs a write for each stream: they are woken in turns, a few in each, so that requests are answered in
between, and less often where they are many.
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
# The feed rests so long after it has found something: asking after every commit costs the control plane, even
# for one stream, more than the streams do.
REST_S = 0.005
# How long the feed waits before it asks a control plane again that did not respond.
AGAIN_S = 0.5
# How many streams are woken in one turn of the loop, which takes a millisecond; and the time after a turn for
# each of them: 500 streams are woken five times per second.
STREAMS_PER_TURN = 25
WAKE_S_PER_STREAM = 0.0004
# How often all streams look whether a bookmark is due, or their time is over: one task for all of them.
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
    """The place of one stream: whose it is, whether they must be identified again, and its news: the ring has
    more, or it is time to look at the clock."""

    __slots__ = ("by", "is_marked", "news")

    def __init__(self, by: Principal) -> None:
        self.by = by
        self.is_marked = False
        self.news = asyncio.Event()


class Hub:
    """The streams of one replica; for use on one event loop."""

    def __init__(self, control: ControlPlane, limits: StreamLimits) -> None:
        self.limits = limits
        self.feed = NoticeFeed(control)
        self.catching_up = asyncio.Semaphore(CATCH_UPS_MAX)
        # None while nobody listens; a stream whose ring is another one ends.
        self.ring: NoticeRing | None = None
        self._places: dict[StreamPlace, None] = {}
        self._of_user: dict[str, int] = {}
        self._following: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

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
            self._following = asyncio.create_task(self._follow(self.ring))
            self._looking = asyncio.create_task(self._look())
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
                if self._take(ring, found):
                    await self._wake_in_turns()
                    await asyncio.sleep(REST_S)
            except Refused as refused:
                log.warning("event streams wait for the control plane: %s", refused)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("event streams end: their feed failed")
                self._stop()
                return

    def _take(self, ring: NoticeRing, found: Notices) -> bool:
        """Say whether the ring has more than before."""
        if found.cursor <= ring.through:
            return False
        ring.add(found.notices, found.cursor)
        for fact in found.facts:
            if type(fact.event) in IDENTITY_FACTS:
                self._mark(ev.subject_of(fact.event))
        return True

    def _mark(self, ended: str) -> None:
        """Mark the streams of a user, session or API token; they do not wait for their turn."""
        for place in self._places:
            if ended in (place.by.id, place.by.session, place.by.token):
                place.is_marked = True
                place.news.set()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._wake_in_turns()

    async def _wake_in_turns(self) -> None:
        places = [*self._places]
        for start in range(0, len(places), STREAMS_PER_TURN):
            turn = places[start : start + STREAMS_PER_TURN]
            for place in turn:
                place.news.set()
            await asyncio.sleep(WAKE_S_PER_STREAM * len(turn))

    def _stop(self) -> None:
        following, self._following, self.ring = self._following, None, None
        if following is not None and following is not _current_task():
            following.cancel()
        if self._looking is not None:
            self._looking.cancel()
        for place in self._places:
            place.news.set()


def _current_task() -> asyncio.Task[None] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
