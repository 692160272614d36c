"""The client's event stream: an iterator that connects again by itself; no event is missed or repeated.

1. open     with the cursor that was given, or from now on; the first frame says where that is
2. read     frames; each moves the cursor, also the bookmarks of a server that has nothing to tell
3. again    after a break or an end, after the last id: what was read halfway is sent again whole
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

import orjson

from helix_ray.client.errors import CursorGone, Unavailable
from helix_ray.client.session import ClientSession
from helix_ray.client.sse import Parser, StreamMessage
from helix_ray.client.transport import Request

if TYPE_CHECKING:
    from helix_ray.wire.events import EventOut

PATH = "/events"
BOOKMARK = "bookmark"
# A server that is there sends something every 15 s.
SILENCE_S_MAX = 45.0
# The wait before connecting again, where the server has not said how long.
AGAIN_S = 2.0
# It doubles up to this while connections end without a single frame.
AGAIN_S_MAX = 30.0
HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}

Wanted = str | Iterable[str] | None


class EventReader:
    """Iterates over events for ever, each once and in order. Close it, or use it with `with`.

    `cursor` is where to go on later: `client.events(after=reader.cursor)` continues behind what was read.
    Not safe to share between threads.
    """

    def __init__(
        self,
        session: ClientSession,
        query: Mapping[str, str | None],
        after: int | None = None,
        *,
        from_earliest: bool = False,
    ) -> None:
        """Connect. `from_earliest`: start from the oldest event where the server cannot continue from
        `after`."""
        self.cursor = after
        self._session = session
        self._query = query
        self._from_earliest = from_earliest
        self._ready: deque[StreamMessage] = deque()
        self._stack = ExitStack()
        self._parser = Parser()
        self._pieces: Iterator[bytes] | None = None
        self._empty_in_a_row = 0
        self._is_closed = False
        self._connect()
        while self.cursor is None and not self._ready:
            # From here on nothing is missed, whatever becomes of this connection.
            self._read()

    def __enter__(self) -> EventReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[EventOut]:
        return self

    def __next__(self) -> EventOut:
        """Return the next event, waiting for it. Raises CursorGone, NotSignedIn, Unavailable once the server
        has been away for longer than requests are repeated; StopIteration once it is closed."""
        while not self._is_closed:
            if not self._ready:
                self._read()
                continue
            message = self._ready.popleft()
            self.cursor = int(message.id)
            if message.event != BOOKMARK:
                event: EventOut = orjson.loads(message.data)
                return event
        raise StopIteration

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._is_closed = True
        self._stack.close()

    def _read(self) -> None:
        """Read the next messages into `_ready`; connect again where there are none any more."""
        if self._pieces is None:
            self._connect()
        assert self._pieces is not None
        try:
            piece = next(self._pieces, None)
        except Unavailable:
            piece = None
        if piece is None:
            self._pieces = None
            self._stack.close()
            self._rest()
            return
        for message in self._parser.feed(piece):
            self._empty_in_a_row = 0
            if message.id.isdecimal():
                self._ready.append(message)
        if self.cursor is None and self._parser.last_id.isdecimal():
            self.cursor = int(self._parser.last_id)

    def _connect(self) -> None:
        while True:
            try:
                # The server knows this cursor as that of a new connection or of one that goes on.
                after = None if self.cursor is None else str(self.cursor)
                headers = HEADERS if after is None else {**HEADERS, "Last-Event-ID": after}
                params = {**self._query, "after": after}
                request = Request("GET", PATH, params=params, headers=headers, silence_s=SILENCE_S_MAX)
                self._pieces = self._stack.enter_context(self._session.download(request))
            except CursorGone as gone:
                earliest = gone.details.get("earliest")
                if not self._from_earliest or not isinstance(earliest, int) or earliest == self.cursor:
                    raise
                self.cursor = earliest
            else:
                # An event that was cut off before its end comes again, from its beginning.
                self._parser = Parser("" if after is None else after)
                return

    def _rest(self) -> None:
        """Wait as long as the server asked for, longer where it ended several connections at once."""
        retry_ms = self._parser.retry_ms
        asked_s = AGAIN_S if retry_ms is None else retry_ms / 1000.0
        self._session.transport.rest(min(asked_s * 2**self._empty_in_a_row, max(AGAIN_S_MAX, asked_s)))
        self._empty_in_a_row = min(self._empty_in_a_row + 1, 16)


class EventCalls:
    """The client's method for events."""

    _session: ClientSession

    def events(
        self,
        events: Wanted = None,
        *,
        project: Wanted = None,
        type: Wanted = None,
        labels: Mapping[str, str] | None = None,
        status: Wanted = None,
        after: int | None = None,
        from_earliest: bool = False,
    ) -> EventReader:
        """Follow what happens: `task.completed`, `task.*`; without names everything that you may see.

        `project`, `type`, `labels` and `status` select tasks. The events are those that follow `after`
        (0: all), or that happen from this call on. The reader connects again by itself. Where the server
        cannot continue from the cursor, CursorGone says where to start; `from_earliest` starts there.
        """
        pairs = None if labels is None else [f"{name}={value}" for name, value in labels.items()]
        query = {
            "events": _listed(events), "project": _listed(project), "type": _listed(type),
            "label": _listed(pairs), "status": _listed(status),
        }  # fmt: skip
        return EventReader(self._session, query, after, from_earliest=from_earliest)


def _listed(wanted: Wanted) -> str | None:
    return wanted if wanted is None or isinstance(wanted, str) else ",".join(wanted) or None
