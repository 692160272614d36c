"""Bulkheads: a lane for each webhook, so that one that is slow or dead delays no other.

A lane sends one request at a time until one succeeds, then up to LANE_SENDS_MAX; after a failure, one again.
How many requests begin at a time is bounded separately for lanes whose last request succeeded and for others:
a request takes a place in the window of its kind only while it is young, so one that hangs gives it back.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from helix_ray.webhooks.messages import HookMessage

LANE_SENDS_MAX = 4
# Requests that are this young at the same time. More would not make one process faster, and a kill of the
# process repeats them.
YOUNG_MAX = 6
YOUNG_S = 0.004


@dataclass(slots=True)
class SendLane:
    """What one webhook has to send, and what is being sent."""

    hook: str
    queue: deque[HookMessage] = field(default_factory=deque)
    sending: set[int] = field(default_factory=set)
    sends_max: int = 1
    proven: bool = False
    # When the outbox has more for it; infinite where nothing waits.
    look_at: float = 0.0
    quiet_until: float = 0.0
    # Waits for a notice that is being read.
    reading: bool = False
    ready: bool = False

    def note(self, success: bool) -> None:
        """Adapt to how a request ended."""
        self.proven = success
        self.sends_max = min(self.sends_max + 1, LANE_SENDS_MAX) if success else 1

    def can_begin(self, now: float) -> bool:
        """Say whether another request may begin, as far as the lane itself knows."""
        return len(self.sending) < self.sends_max and not self.reading and now >= self.quiet_until


class YoungSends:
    """The requests of one kind that are young, and the lanes that want to begin another, in turn."""

    def __init__(self, young_max: int = YOUNG_MAX) -> None:
        self.young = 0
        self.lanes: deque[SendLane] = deque()
        self._young_max = young_max

    @property
    def open(self) -> bool:
        """Whether a request may begin."""
        return self.young < self._young_max


class Lanes:
    """All lanes; for one thread."""

    def __init__(self) -> None:
        self.all: dict[str, SendLane] = {}
        self._proven, self._others = YoungSends(), YoungSends()
        self._timers: list[tuple[float, str]] = []

    def lane(self, hook: str) -> SendLane:
        """Return the lane of a webhook; a webhook that is seen first gets one, and it is ready."""
        found = self.all.get(hook)
        if found is None:
            found = self.all[hook] = SendLane(hook)
            self.wake(found)
        return found

    def remove(self, hook: str) -> None:
        """Forget a lane; what it is sending ends by itself."""
        lane = self.all.pop(hook, None)
        if lane is not None:
            lane.queue.clear()
            lane.look_at = math.inf

    def window(self, lane: SendLane) -> YoungSends:
        """Return the window in which a lane's requests begin."""
        return self._proven if lane.proven else self._others

    def wake(self, lane: SendLane, at: float | None = None) -> None:
        """Let a lane look for something to send: at once, or at a time."""
        if at is not None:
            if at < math.inf:
                heapq.heappush(self._timers, (at, lane.hook))
        elif not lane.ready:
            lane.ready = True
            self.window(lane).lanes.append(lane)

    def next_timer(self) -> float:
        """Return when the next lane wants to look; infinite where none does."""
        return self._timers[0][0] if self._timers else math.inf

    def due(self, now: float) -> Iterator[tuple[YoungSends, SendLane]]:
        """Yield lanes that may begin a request, in turn, while the windows are open.

        A lane that is to have another turn is woken again by who takes it.
        """
        while self._timers and self._timers[0][0] <= now:
            lane = self.all.get(heapq.heappop(self._timers)[1])
            if lane is not None:
                lane.look_at = 0.0
                self.wake(lane)
        for window in (self._proven, self._others):
            while window.open and window.lanes:
                lane = window.lanes.popleft()
                lane.ready = False
                yield window, lane
