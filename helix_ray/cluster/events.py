"""Events inside the cluster: an iterator over what happens, from the control plane itself, without HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from helix_ray.cluster.background import Background
from helix_ray.cluster.errors import raised
from helix_ray.core.access import Principal
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.notices import Filter, filter_of
from helix_ray.core.questions import ReadEvents
from helix_ray.core.views.events import start_of
from helix_ray.plane.notice_feed import NoticeFeed
from helix_ray.wire.events import event_out

if TYPE_CHECKING:
    from helix_ray.core.questions import QuestionKind, View
    from helix_ray.plane.control import Plane
    from helix_ray.wire.events import EventOut

FACTS_MAX = 500
# How long one call waits for the next events, in seconds.
WAIT_S = 10.0

Wanted = str | Iterable[str] | None


class Events:
    """Iterates over events for ever, each once and in order. `close` ends it, also from another thread.

    `cursor` is where to go on later: `cluster.events(after=reader.cursor)` continues behind what was read.
    """

    def __init__(
        self,
        plane: Plane,
        who: Callable[[], Principal],
        background: Background,
        wanted: Filter,
        cursor: int,
    ) -> None:
        self.cursor = cursor
        self._plane = plane
        self._who = who
        self._background = background
        self._wanted = wanted
        self._read_to = cursor
        self._ready: deque[EventOut] = deque()
        self._is_closed = False

    def __iter__(self) -> Iterator[EventOut]:
        return self

    def __next__(self) -> EventOut:
        """Return the next event, waiting for it; after ClusterUnavailable it can be called again."""
        while not self._is_closed:
            if self._ready:
                event = self._ready.popleft()
                self.cursor = event["seq"]
                return event
            self.cursor = self._read_to
            self._background.run(self._read())
        raise StopIteration

    def close(self) -> None:
        """End the iteration; safe to call twice."""
        self._is_closed = True

    async def _read(self) -> None:
        # For whom is asked each time: a warm process runs one attempt after the other.
        feed = NoticeFeed(self._plane, self._who())
        try:
            found = await feed.after(self._read_to, FACTS_MAX, WAIT_S)
        except Refused as refused:
            raise raised(refused.rejected) from None
        self._read_to = found.cursor
        self._ready.extend(event_out(each) for each in found.notices if self._wanted.wants(each))


class ClusterEventCalls:
    """The call of a Cluster that follows events."""

    _plane: Plane
    _who: Callable[[], Principal]
    background: Background

    if TYPE_CHECKING:

        def ask(self, question: QuestionKind[View]) -> View: ...

    def events(
        self,
        events: Wanted = None,
        *,
        project: Wanted = None,
        type: Wanted = None,
        labels: Mapping[str, str] | None = None,
        status: Wanted = None,
        after: int | None = None,
    ) -> Events:
        """Follow what happens: `task.completed`, `task.*`; without names everything.

        `project`, `type`, `labels` and `status` select tasks. The events are those that follow `after`
        (0: all), or that happen from this call on. In a task they are those that its owner may see. Raises
        Refused for an unknown name, and for a cursor that the journal has not reached.
        """
        wanted = filter_of(
            _several(events), _several(project), _several(type), labels or {}, _several(status)
        )
        if isinstance(wanted, Rejected):
            raise Refused(wanted)
        cursor = start_of(after, self.ask(ReadEvents()))
        if isinstance(cursor, Rejected):
            raise Refused(cursor)
        return Events(self._plane, self._who, self.background, wanted, cursor)


def _several(wanted: Wanted) -> tuple[str, ...]:
    return () if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
