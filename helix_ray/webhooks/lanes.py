"""Bulkheads: a lane for each webhook, so that one that is slow or dead delays no other.

A lane sends one request at a time until one succeeds, then up to LANE_SENDS_MAX; after a failure, one again.
How many requests begin at a time is bounded separately for lanes whose last request succeeded and for others:
a request takes a place in the window of its kind only while it is young, so one that hangs gives it back. The
others get what those that work leave: hundreds of requests that begin or time out cost processor time.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from helix_ray.webhooks.messages import HookMessage

LANE_SENDS_MAX = 4
# Requests that are young at the same time. More would not make one process faster, and a kill of the process
# repeats them. A request to a receiver that is near, which answers within NEAR_S while it is not busy, is
# young until it is answered: a longer queue at a busy receiver is of no use. A far one is for a moment only.
YOUNG_MAX = 3
# Hundreds that have not answered yet may hang, and others wait for their turn among them. While requests to
# receivers that work are young, or wait, so few of the others begin that they take little of the processor.
YOUNG_OTHERS_MAX, YOUNG_OTHERS_BESIDE_MAX = 24, 1
# What did not answer last is asked again one at a time: hundreds that began together would time out together.
YOUNG_FAILED_MAX = 1
# While receivers that work are being told, so long passes between two requests to those that did not answer.
FAILED_BESIDE_S = 0.025
YOUNG_S, YOUNG_NEAR_S = 0.004, 0.01
NEAR_S = 0.004
# So many answers in a row that take longer make a receiver a far one; one that is not known is far.
FAR_ANSWERS = 64


@dataclass(slots=True)
class SendLane:
    """What one webhook has to send, and what is being sent."""

    hook: str
    queue: deque[HookMessage] = field(default_factory=deque)
    sending: set[int] = field(default_factory=set)
    sends_max: int = 1
    proven: bool = False
    failed: bool = False
    far_answers: int = FAR_ANSWERS
    # When the outbox has more for it; infinite where nothing waits.
    look_at: float = 0.0
    quiet_until: float = 0.0
    # Waits for a notice that is being read.
    reading: bool = False
    ready: bool = False

    def note(self, success: bool, seconds: float, *, answered: bool = True) -> None:
        """Adapt to how a request ended, and how long it took; one that was answered with a failure may
        succeed with the next message."""
        self.proven, self.failed = success, not answered
        self.sends_max = min(self.sends_max + 1, LANE_SENDS_MAX) if success else 1
        if not success:
            self.far_answers = FAR_ANSWERS
        else:
            self.far_answers = 0 if seconds <= NEAR_S else self.far_answers + 1

    @property
    def young_s(self) -> float:
        """How long a request counts as young."""
        return YOUNG_NEAR_S if self.far_answers < FAR_ANSWERS else YOUNG_S

    @property
    def is_full(self) -> bool:
        """Whether one of its requests must end before another begins."""
        return len(self.sending) >= self.sends_max

    def can_begin(self, now: float) -> bool:
        """Say whether another request may begin, as far as the lane itself knows."""
        return not self.is_full and not self.reading and now >= self.quiet_until


class YoungSends:
    """The requests of one kind that are young, and the lanes that want to begin another, in turn."""

    def __init__(self, clock: Callable[[], float], young_max: int) -> None:
        self.lanes: deque[SendLane] = deque()
        self._clock = clock
        self._young_max = young_max
        # Until when each is young.
        self._young: dict[int, float] = {}
        # The first of these times, or an earlier one.
        self._first_until = math.inf
        self._last = 0
        # When a request last began.
        self.begun_at = -math.inf

    @property
    def is_busy(self) -> bool:
        """Whether requests are young, or wait to begin."""
        return bool(self.lanes or self._count())

    def is_open(self, most: int | None = None) -> bool:
        """Say whether a request may begin; `most`: where fewer than usual may be young."""
        most = self._young_max if most is None else most
        return len(self._young) < most or self._count() < most

    def opens_at(self, most: int | None = None) -> float:
        """Return when the window opens by itself for lanes that wait; infinite where none does, or it is
        open."""
        return min(self._young.values()) if self.lanes and not self.is_open(most) else math.inf

    def _count(self) -> int:
        if self._young and self._first_until <= (now := self._clock()):
            self._young = {number: until for number, until in self._young.items() if until > now}
            self._first_until = min(self._young.values(), default=math.inf)
        return len(self._young)

    def begin(self, lane: SendLane) -> int:
        """Count a request that begins, and return its number."""
        self._last += 1
        self.begun_at = self._clock()
        self._young[self._last] = until = self.begun_at + lane.young_s
        if until < self._first_until:
            self._first_until = until
        return self._last

    def end(self, number: int) -> None:
        """Count a request no longer."""
        self._young.pop(number, None)


class Lanes:
    """All lanes; for one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.all: dict[str, SendLane] = {}
        self._clock = clock
        self._proven = YoungSends(clock, YOUNG_MAX)
        self._others = YoungSends(clock, YOUNG_OTHERS_MAX)
        self._failed = YoungSends(clock, YOUNG_FAILED_MAX)
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
        if lane.proven:
            return self._proven
        return self._failed if lane.failed else self._others

    def wake(self, lane: SendLane, at: float | None = None) -> None:
        """Let a lane look for something to send: at once, or at a time."""
        if at is not None:
            if at < math.inf:
                heapq.heappush(self._timers, (at, lane.hook))
        elif not (lane.ready or lane.is_full):
            # One that is full is woken when a request ends, and waits in the window that is then its own.
            lane.ready = True
            self.window(lane).lanes.append(lane)

    def next_timer(self) -> float:
        """Return when the next lane wants to look; infinite where none does."""
        return self._timers[0][0] if self._timers else math.inf

    def opens_at(self) -> float:
        """Return when a window that is full opens by itself for who waits, by the clock; infinite: never."""
        failed_at = self._failed.opens_at()
        if self._failed.lanes and self._failed_waits:
            failed_at = self._failed.begun_at + FAILED_BESIDE_S
        # After each turn: mostly none of them waits.
        others_at = self._others.opens_at(self._others_max) if self._others.lanes else math.inf
        return min(self._proven.opens_at(), others_at, failed_at)

    @property
    def is_busy(self) -> bool:
        """Whether receivers that work have requests that are young, or wait to begin."""
        return self._proven.is_busy

    @property
    def _others_max(self) -> int:
        return YOUNG_OTHERS_BESIDE_MAX if self.is_busy else YOUNG_OTHERS_MAX

    @property
    def _failed_waits(self) -> bool:
        """Whether it is too soon for another request to a receiver that failed last."""
        return self.is_busy and self._clock() < self._failed.begun_at + FAILED_BESIDE_S

    def due(self, now: float) -> Iterator[tuple[YoungSends, SendLane]]:
        """Yield lanes that may begin a request, in turn, while the windows are open.

        A lane that is to have another turn is woken again by who takes it.
        """
        while self._timers and self._timers[0][0] <= now:
            lane = self.all.get(heapq.heappop(self._timers)[1])
            if lane is not None:
                lane.look_at = 0.0
                self.wake(lane)
        while self._proven.lanes and self._proven.is_open():
            yield self._proven, self._popped(self._proven)
        while self._others.lanes and self._others.is_open(self._others_max):
            yield self._others, self._popped(self._others)
        while self._failed.lanes and self._failed.is_open() and not self._failed_waits:
            yield self._failed, self._popped(self._failed)

    def _popped(self, window: YoungSends) -> SendLane:
        lane = window.lanes.popleft()
        lane.ready = False
        return lane
