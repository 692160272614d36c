"""One event stream: the response that sends a reader the notices that they hear of and want, as they come.

Everything that can be refused is refused before the first byte. After it a stream only ends: when its
session, token or time is over (the client connects again, and is answered then), when its reader takes
nothing, or with the server. The place is held exactly as long as the response is being sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from helix_ray.core.access import Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.notices import Filter
from helix_ray.core.questions import ReadEvents
from helix_ray.core.views.events import start_of
from helix_ray.security.tokens import Claims
from helix_ray.wire.events import EVENT_STREAM, bookmark, retry
from serve_app.deps import Caller
from serve_app.edge import state
from serve_app.edge.errors import BrokenOff
from serve_app.notice_ring import PIECE_BYTES_MAX, FramePiece, NoticeRing, View, piece_of
from serve_app.stream_hub import Hub, StreamPlace

# At the latest so many seconds after the last frame a bookmark moves the reader's cursor.
BOOKMARK_S = 15.0
RETRY_MS: Final = (1_000, 3_000)
# How long an opening waits for the control plane; and how many facts are read at once behind the ring: fewer
# where they do not fit into a piece.
OPENING_S_MAX = 5.0
CATCH_UP_FACTS = 500

HEADERS: Final = (
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
AWAY: Final = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond", {"retry_after_s": 1}
)


class EventStream(Response):
    """The notices after a cursor (None: from now on) that a filter wants; ends only for the reasons above."""

    media_type = EVENT_STREAM

    def __init__(self, caller: Caller, hub: Hub, wanted: Filter, after: int | None) -> None:
        super().__init__()
        self._caller = caller
        self._hub = hub
        self._wanted = wanted
        self._after = after
        claims: Claims = caller.request.scope["state"][state.CLAIMS]
        self._claims = claims
        self._ends_at = 0.0
        self._view = View(_essence(caller.by), wanted)
        self._facts = CATCH_UP_FACTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; raise Refused before its first byte."""
        with self._hub.place(self._caller.by) as place:
            try:
                async with asyncio.timeout(OPENING_S_MAX):
                    found = await self._caller.query(ReadEvents())
                    cursor = start_of(self._after, found)
                    if isinstance(cursor, Rejected):
                        raise Refused(cursor)
                    ring = self._hub.follow(found["latest"])
                    # Its facts mark this place from here on; what ended before is found now.
                    await self._identify(place)
            except TimeoutError:
                raise Refused(AWAY) from None
            scope["state"][state.ENDS_WITH_SERVER] = True
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
            await self._write(send, retry(random.randint(*RETRY_MS)) + bookmark(cursor))
            await self._go_on(send, place, ring, cursor)
            await send({"type": "http.response.body", "body": b""})

    async def _go_on(self, send: Send, place: StreamPlace, ring: NoticeRing, cursor: int) -> None:
        clock = asyncio.get_running_loop().time
        written_at, ends_at = clock(), clock() + self._hub.limits.stream_s_max
        while self._hub.ring is ring and clock() < ends_at and await self._still_there(place):
            if cursor < ring.through:
                frames, cursor = await self._next(place, ring, cursor)
            else:
                frames = b""
                await place.news.wait()
                place.news.clear()
            if not frames and clock() - written_at >= BOOKMARK_S:
                frames = bookmark(cursor)
            if frames:
                await self._write(send, frames)
                written_at = clock()

    async def _next(self, place: StreamPlace, ring: NoticeRing, cursor: int) -> FramePiece:
        """Return the next frames: from the ring, or behind it from the journal."""
        if cursor >= ring.after:
            return ring.piece(self._view, cursor)
        async with self._hub.catching_up:
            try:
                found = await self._hub.feed.after(cursor, self._facts)
            except Refused:
                await asyncio.sleep(OPENING_S_MAX / 10)
                return FramePiece(b"", cursor)
        # While that was read, the session may have ended.
        if place.is_marked:
            return FramePiece(b"", cursor)
        piece = piece_of(found.notices, self._view, found.cursor)
        # What was read beyond the piece is read again, so the next read is for about a piece.
        if piece.cursor < found.cursor:
            self._facts = max(1, piece.cursor - cursor)
        elif len(piece.frames) < PIECE_BYTES_MAX // 2:
            self._facts = min(CATCH_UP_FACTS, 2 * self._facts)
        return piece

    async def _still_there(self, place: StreamPlace) -> bool:
        """Say whether the session, or token, goes on; identify its user again where that may have changed."""
        if place.is_marked or time.time() >= self._ends_at:
            place.is_marked = False
            try:
                await self._identify(place)
            except Refused as refused:
                if refused.rejected.code is ErrorCode.SERVICE_UNAVAILABLE:
                    raise BrokenOff from refused
                return False
        return True

    async def _identify(self, place: StreamPlace) -> None:
        """Take the principal as the control plane has it now, and note when their token or session ends."""
        by, ends_at = await self._caller.services.sessions.identified(self._claims)
        self._ends_at = min(ends_at, self._claims.expires_at or ends_at)
        if self._ends_at <= time.time():
            raise Refused(Rejected(ErrorCode.UNAUTHORIZED, "The session or token has expired"))
        place.by = by
        self._view = View(_essence(by), self._wanted)

    async def _write(self, send: Send, frames: bytes) -> None:
        """Send frames; break the connection off where its reader takes nothing for too long."""
        try:
            async with asyncio.timeout(self._hub.limits.stall_s):
                await send({"type": "http.response.body", "body": frames, "more_body": True})
        except TimeoutError:
            raise BrokenOff from None


def _essence(by: Principal) -> Principal:
    """Return a principal without what does not decide what they hear."""
    return replace(by, name="", session=None, token=None if by.token is None else "")
