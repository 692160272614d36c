"""The courier: sends what the outbox has, one turn after another.

    1. settle   what became of the requests that ended, and the messages that begin, in one line of the outbox
    2. begin    their requests, signed anew
    3. wait     for the next end, or the next time at which something is due

Answers that have arrived are all read before anything else begins, and noted at once: a kill repeats what was
answered and not noted.

A kill at any point repeats the requests that were under way, with the same ids, and loses none. Who may be
told is looked up at every try: nothing begins while the board or the notice is not known as it is now.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from helix_ray.outward.outcome import Post, PostOutcome
from helix_ray.webhooks.board import Hook, HookBoard
from helix_ray.webhooks.due_clock import DueClock
from helix_ray.webhooks.hook_traces import HookTraces
from helix_ray.webhooks.known import KnownNotice, KnownNotices
from helix_ray.webhooks.lanes import Lanes, SendLane, YoungSends
from helix_ray.webhooks.messages import (
    DELIVERED,
    DROPPED,
    FAILED,
    WAITING,
    HookMessage,
    Settled,
    Standing,
    Try,
)
from helix_ray.webhooks.outbox import HookOutbox
from helix_ray.webhooks.request import TIMEOUT_S, masked, request_of, shown_headers
from helix_ray.webhooks.schedule import AfterTry, verdict
from helix_ray.webhooks.send_limits import SendLimits
from helix_ray.webhooks.tally import ERASED, ERROR, SendTally

log = logging.getLogger(__name__)

# Messages that a lane loads at a time.
LOAD_MESSAGES = 256
# Facts that are to be read: more would be forgotten (known.py) before they are of use.
UNREAD_MAX = 1024
STATES = {"delivered": DELIVERED, "waiting": WAITING, "failed": FAILED}


class Courier:
    """Sends the messages of all webhooks on one event loop."""

    def __init__(
        self,
        outbox: HookOutbox,
        known: KnownNotices,
        post: Post,
        *,
        gone: Callable[[str], None],
        now: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        timeout_s: float = TIMEOUT_S,
        traces: HookTraces | None = None,
    ) -> None:
        """`gone` is told of a webhook whose receiver wants no more requests (410)."""
        self._outbox = outbox
        self._known = known
        self._post = post
        self._gone = gone
        self._now = now
        self.clock = DueClock(now, mono, outbox.clock)
        self._chance = chance
        self._timeout_s = timeout_s
        self._traces = traces or HookTraces()
        self._board: HookBoard | None = None
        self._lanes = Lanes()
        self._limits = SendLimits(timeout_s, lambda: self._lanes.is_busy)
        self._ended: list[Settled] = []
        self._standings: dict[str, Standing] = {}
        self._woken = asyncio.Event()
        self._at_leisure = asyncio.Event()
        # A turn that comes without a step, when a window opens by itself.
        self._opening: asyncio.Handle | None = None
        # The timer for which the step waits.
        self._looks_at = math.inf
        # Requests that begin, the tasks that send them, and how many tasks are free to.
        self._begun: deque[_Begun] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._free = 0
        self.tally = SendTally()
        # Facts that must be read before something can be sent, and the lanes that wait for them.
        self.unread: dict[int, set[str]] = {}
        self.unread_known = asyncio.Event()

    # ------------------------------------------------------------------------------------------ from outside

    def pause(self) -> None:
        """Begin no request until there is a board again: who may be told what is not known."""
        self._board = None

    def go_on(self, board: HookBoard) -> None:
        """Send by a board; lanes of webhooks that were deleted or are held end."""
        self._board = board
        for name in self._lanes.all.keys() - board.hooks.keys():
            self._lanes.remove(name)
        for hook in board.hooks.values():
            if hook.active:
                self._lanes.wake(self._lane(hook.id))
        self._woken.set()

    def look(self, hook: str) -> None:
        """Look for messages of a webhook, because there are new ones."""
        lane = self._lane(hook)
        lane.look_at = 0.0
        self._lanes.wake(lane)
        if lane.ready:
            self._woken.set()

    def look_anew(self, hook: str) -> None:
        """Forget what was loaded for a webhook, because the outbox has dropped some of it."""
        self._lane(hook).queue.clear()
        self.look(hook)

    def is_proven(self, hook: str) -> bool:
        """Say whether the last request of a webhook succeeded."""
        lane = self._lanes.all.get(hook)
        return lane is not None and lane.proven

    async def leisure(self, wait_s: float) -> None:
        """Wait until receivers that work have got what is due, but not longer than so."""
        if not self._lanes.is_busy:
            return
        self._at_leisure.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._at_leisure.wait()
        except TimeoutError:
            pass

    def look_at_clock(self) -> None:
        """Look what is due, because the clock may have been changed."""
        self.clock.look()
        self._woken.set()

    def has_read(self, seq: int) -> None:
        """Let the lanes go on that waited for a fact."""
        for hook in self.unread.pop(seq, ()):
            lane = self._lanes.all.get(hook)
            if lane is not None:
                lane.reading = False
                self._lanes.wake(lane)
        self._woken.set()

    def _lane(self, hook: str) -> SendLane:
        lane = self._lanes.lane(hook)
        place = self._outbox.places.get(hook)
        if place is not None and place.standing.quiet_until > lane.quiet_until:
            lane.quiet_until = place.standing.quiet_until
            self._lanes.wake(lane, lane.quiet_until)
        return lane

    async def stop(self) -> None:
        """End all requests that are under way; they are sent again after the next start."""
        for task in list(self._senders):
            task.cancel()
        if self._opening is not None:
            self._opening.cancel()
        self._limits.stop()
        await asyncio.gather(*self._senders, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ turns

    async def step(self) -> None:
        """Make a turn, and wait until another one is of use beside those that ends of requests make."""
        self._woken.clear()
        now = self.clock.now()
        self.turn(now)
        self._looks_at = self._lanes.next_timer()
        wait_s = self._looks_at - now
        try:
            async with asyncio.timeout(None if math.isinf(wait_s) else max(0.0, wait_s)):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _turn_as_it_opens(self) -> None:
        self._opening = None
        self._turn_now()

    def _turn_now(self) -> None:
        try:
            self.turn(self.clock.now())
        except (OSError, sqlite3.Error):
            # The next step meets it as well, and says so.
            self._woken.set()
        if self._lanes.next_timer() < self._looks_at:
            self._woken.set()

    def turn(self, now: float) -> None:
        """Settle what ended, and begin what is due."""
        ended, self._ended = self._ended, []
        standings, self._standings = self._standings, {}
        # Their messages still wait in the file, until this turn has stored what became of them.
        unstored = {one.message.hook for one in ended if one.state == DROPPED}
        begun: list[_Begun] = []
        try:
            for window, lane in self._lanes.due(now):
                if (found := self._next(lane, now, ended, unstored)) is not None:
                    begun.append(_Begun(lane, window, window.begin(lane), *found))
                    lane.sending.add(found[0].seq)
                    self._lanes.wake(lane)
            if not self._lanes.is_busy:
                self._at_leisure.set()
            if not (ended or begun or standings):
                return
            sending = self._outbox.turn(ended, [one.message for one in begun], standings)
        except BaseException:
            # Nothing was stored: it is settled again, and begun by another turn.
            self._ended = ended + self._ended
            self._standings = standings | self._standings
            for one in reversed(begun):
                one.lane.queue.appendleft(one.message)
                one.lane.sending.discard(one.message.seq)
                one.window.end(one.young)
                self._lanes.wake(one.lane)
            raise
        for one, message in zip(begun, sending, strict=True):
            one.message = message
        self._begun += begun
        self._hand_out()
        opens_at = self._lanes.opens_at()
        if opens_at < math.inf and self._opening is None:
            self._opening = asyncio.get_running_loop().call_at(opens_at, self._turn_as_it_opens)

    def _next(
        self, lane: SendLane, now: float, ended: list[Settled], unstored: set[str]
    ) -> tuple[HookMessage, KnownNotice, Hook] | None:
        """Return the next message of a lane; what must not be sent is settled on the way."""
        hook = None if self._board is None else self._board.hooks.get(lane.hook)
        if hook is None or not hook.active or not lane.can_begin(now):
            return None
        if lane.hook in self._outbox.drops:
            return None
        while lane.queue or self._load(lane, now, unstored):
            message = lane.queue[0]
            try:
                known = self._known.get(message.seq)
            except KeyError:
                self._have_read(lane)
                return None
            lane.queue.popleft()
            why = ERASED if known is None else hook.refuses(known.notice)
            if known is not None and why is None:
                return message, known, hook
            ended.append(Settled(message, DROPPED, self._now(), why))
            unstored.add(lane.hook)
            self.tally.dropped(why or ERASED)
        return None

    def _have_read(self, lane: SendLane) -> None:
        """Have the fact of the next message read, and with it those of the messages that follow."""
        lane.reading = True
        unread = [message.seq for message in lane.queue if message.seq not in self._known]
        for seq in unread[: max(1, UNREAD_MAX - len(self.unread))]:
            self.unread.setdefault(seq, set()).add(lane.hook)
        self.unread_known.set()

    def _load(self, lane: SendLane, now: float, unstored: set[str]) -> bool:
        """Load messages of a lane that are due; say whether there are any."""
        if lane.hook in unstored:
            self._lanes.wake(lane, now)
            return False
        if lane.look_at > now:
            return False
        lane.queue.extend(
            message
            for message in self._outbox.due(lane.hook, now, LOAD_MESSAGES)
            if message.seq not in lane.sending
        )
        if not lane.queue:
            at = self._outbox.next_due_at(lane.hook)
            lane.look_at = math.inf if at is None else at
            self._lanes.wake(lane, lane.look_at)
        return bool(lane.queue)

    # ------------------------------------------------------------------------------------------ requests

    def _hand_out(self) -> None:
        """Have a task for each request that begins."""
        while self._free < len(self._begun):
            self._free += 1
            task = asyncio.get_running_loop().create_task(self._send_some())
            self._senders.add(task)
            task.add_done_callback(self._senders.discard)

    async def _send_some(self) -> None:
        """Send what begins, one after another: a task for each would cost more than signing it."""
        self._free -= 1
        while self._begun:
            await self._send(self._begun.popleft())
            self._free += 1
            try:
                # Answers to others that are there are read first.
                await asyncio.sleep(0)
                if self._ended:
                    self._turn_now()
            finally:
                self._free -= 1

    async def _send(self, one: _Begun) -> None:
        lane, hook, message = one.lane, one.hook, one.message
        at = self._now()
        limit = self._limits.limit()
        try:
            trace = self._traces.headers(message, one.known.notice, hook.headers, at)
            request = request_of(hook, message, one.known.payload, at, trace)
            outcome = await self._post(
                hook.url, request.body, request.headers, timeout_s=self._timeout_s, ca=hook.ca, limit=limit
            )
        except Exception:
            log.exception("cannot send message %d of %s", message.seq, hook.id)
            outcome = PostOutcome(None, ERROR, "the request could not be made", (), b"", 0.0, None, None)
        finally:
            one.window.end(one.young)
            self._limits.forget(limit)
        self._ended_with(one, outcome, at)
        lane.sending.discard(message.seq)
        self._lanes.wake(lane)

    def _ended_with(self, one: _Begun, outcome: PostOutcome, at: float) -> None:
        now, message = self.clock.now(), one.message
        status = None if outcome.failure is not None and outcome.status is None else outcome.status
        if outcome.failure is not None and status is not None and 200 <= status < 300:
            # Half a response is no response.
            status = None
        found = verdict(status, message.tries + 1, now, self._chance(), outcome.retry_after_s)
        made = Try(
            at, message.tries + 1, outcome.seconds, outcome.status, outcome.failure, outcome.reason,
            outcome.address, masked(one.hook, shown_headers(outcome.headers).encode()).decode(),
            masked(one.hook, outcome.body),
        )  # fmt: skip
        self._ended.append(
            Settled(message, STATES[found.state], found.again_at or now, outcome.failure, made)
        )
        self.tally.tried(outcome.failure, now)
        self._traces.ended(message, one.known.notice, made)
        self._note(one.lane, found, now, outcome)

    def _note(self, lane: SendLane, found: AfterTry, now: float, outcome: PostOutcome) -> None:
        success = found.state == "delivered"
        lane.note(success, outcome.seconds, answered=outcome.status is not None)
        if found.again_at is not None:
            self._lanes.wake(lane, found.again_at)
        if found.quiet_until is not None and found.quiet_until > lane.quiet_until:
            lane.quiet_until = found.quiet_until
            self._lanes.wake(lane, found.quiet_until)
        place = self._outbox.places.get(lane.hook)
        if place is not None:
            before = self._standings.get(lane.hook, place.standing)
            after = None if success else before.failing_since or now, lane.quiet_until
            if after != before:
                self._standings[lane.hook] = Standing(*after)
        if found.gone:
            self._gone(lane.hook)


@dataclass(slots=True)
class _Begun:
    """A request that begins."""

    lane: SendLane
    window: YoungSends
    young: int
    message: HookMessage
    known: KnownNotice
    hook: Hook
