"""Follows the journal for all webhooks: what they want goes into the outbox, and the courier sends it.

Four loops share one thread: `take` gets new facts, `catch_up` reads the journal for webhooks that are behind
and for what somebody wants once more, `read_unread` reads facts for further tries, and `send` sends. When a
fact changes who may be told what, nothing is sent until the board was asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helix_ray.core.deliveries import GetDelivery, ListDeliveries
from helix_ray.core.notices import Notice
from helix_ray.core.views.deliveries import DeliveriesView, DeliveryView
from helix_ray.core.views.figures import WebhookFigures
from helix_ray.outward.outcome import Post
from helix_ray.plane.notice_feed import NoticeFeed, Notices
from helix_ray.ports import Batch, ControlPlane
from helix_ray.webhooks.answers import listed, single
from helix_ray.webhooks.board import NOT_ALLOWED, Hook, HookBoard
from helix_ray.webhooks.courier import Courier
from helix_ray.webhooks.desk import Desk, concerns_board, due_off, wanted_again
from helix_ray.webhooks.hook_traces import HookTraces
from helix_ray.webhooks.known import KnownNotices
from helix_ray.webhooks.messages import Mark, Match
from helix_ray.webhooks.outbox import HookOutbox
from helix_ray.webhooks.request import TIMEOUT_S

# Facts that are read at a time.
PAGE_FACTS = 500
# How often webhooks that are behind, and have too many messages waiting, are looked at.
LOOK_S = 0.25
CARE_EVERY_S = 1.0
# How often to ask for the board while there is no webhook.
NO_WEBHOOKS_S = 0.5
MARK_EVERY_S = 30.0
# From so many webhooks on whose receivers do not work, those that work get theirs first. The others wait for
# as long as taking theirs costs, about, so that the next facts are not late either.
MANY_OTHERS = 16
OTHER_WAITS_S, OTHERS_WAIT_S_MAX = 100e-6, 0.1
# Messages of one transaction: some milliseconds, for which answers wait to be noted.
TAKE_MESSAGES = 1000
# What a message that waits takes of the file, half of which may be such messages: the rest is what became of
# others.
WAITING_BYTES = 128
# Marks are made of so many webhooks at a time: about a millisecond.
MARK_HOOKS = 50


@dataclass(frozen=True, slots=True)
class OutboxBounds:
    """How many messages of a webhook wait in the file, how long ended ones are remembered, and the bytes of
    the file."""

    waiting_max: int = 100_000
    keep_s: float = 30 * 86_400.0
    bytes_max: int = 1 << 30


class Notifying:
    """The journal's follower that delivers webhooks; for one event loop."""

    def __init__(
        self,
        plane: ControlPlane,
        desk: Desk,
        post: Post,
        path: Path,
        bounds: OutboxBounds | None = None,
        *,
        now: Callable[[], float] = time.time,
        send_s_max: float = TIMEOUT_S,
        traces: HookTraces | None = None,
    ) -> None:
        """Open the outbox. Raises OSError or sqlite3.Error."""
        self._feed = NoticeFeed(plane)
        self._desk = desk
        self._bounds = bounds or OutboxBounds()
        self._now = now
        self.outbox = HookOutbox(
            path,
            waiting_max=self._bounds.waiting_max,
            all_waiting_max=self._bounds.bytes_max // 2 // WAITING_BYTES,
        )
        self._known = KnownNotices()
        self._traces = traces or HookTraces()
        self.courier = Courier(
            self.outbox, self._known, post, gone=self._note_gone, now=now, timeout_s=send_s_max,
            traces=self._traces,
        )  # fmt: skip
        self._board: HookBoard | None = None
        self._more = asyncio.Event()
        self._gone: set[str] = set()
        self._marks: dict[str, Mark] = {}
        self._mark_at = 0.0

    async def begin(self) -> None:
        """Ask for the board, and so find out where to begin. Raises Refused."""
        self.outbox.note_clock(self.courier.clock.place)
        await self._refresh()

    async def stop(self) -> None:
        """End the requests under way, and close the outbox."""
        await self.courier.stop()
        # A clock that is set back before the next start is noticed by it.
        with contextlib.suppress(sqlite3.Error):
            self.outbox.note_clock(self.courier.clock.place)
        self.outbox.close()

    # ------------------------------------------------------------------------------------------ new facts

    @property
    def cursor(self) -> int:
        """The seq after which facts are wanted: followers.following.Consumer."""
        return self.outbox.cursor or 0

    async def take(self, batch: Batch) -> None:
        """Take new facts, with what they are about."""
        notices = await self._feed.notices_of(batch)
        if self._board is None or any(concerns_board(fact) for fact in batch.facts):
            await self._refresh()
        for again in filter(None, map(wanted_again, batch.facts)):
            self.outbox.deliveries.ask(again)
            self._more.set()
        assert self._board is not None
        size = max(1, TAKE_MESSAGES // max(1, len(self._board.hooks)))
        parts = [notices[first : first + size] for first in range(0, len(notices), size)] or [()]
        for part in parts:
            through = batch.cursor if part is parts[-1] else part[-1].seq
            await self._take_part(self._board, part, through, OTHERS_WAIT_S_MAX / len(parts))
            await asyncio.sleep(0)

    async def _take_part(
        self, board: HookBoard, notices: Sequence[Notice], through: int, others_wait_s: float
    ) -> None:
        matches: dict[str, list[Match]] = {}
        held: dict[str, list[Match]] = {hook.id: [] for hook in board.hooks.values() if not hook.active}
        for notice in notices:
            for hook in self._hearing(board, notice):
                place = matches if hook.active else held
                place.setdefault(hook.id, []).append(Match(notice.seq, notice.event))
        await self._take_first(matches, others_wait_s)
        for name in self.outbox.take(through, matches, held):
            self.courier.look(name)

    async def _take_first(self, matches: dict[str, list[Match]], wait_s: float) -> None:
        """Let receivers that work have theirs before the outbox takes what hundreds of others are to get."""
        working = {name: found for name, found in matches.items() if self.courier.is_proven(name)}
        others = len(matches) - len(working)
        if len(working) == 0 or others < MANY_OTHERS:
            return
        for name in self.outbox.take_first(working):
            del matches[name]
            self.courier.look(name)
        await self.courier.leisure(min(others * OTHER_WAITS_S, wait_s))

    async def wait_for_webhooks(self) -> bool:
        """Say whether there are webhooks; without one, nothing is read from the journal, and this waits."""
        if self._board is not None and self._board.hooks:
            return True
        await asyncio.sleep(NO_WEBHOOKS_S)
        await self._refresh()
        return bool(self._board and self._board.hooks)

    async def beyond(self, head: int) -> None:
        """Begin anew: the journal is another one."""
        self.outbox.begin_anew()
        await self._refresh()

    def _hearing(self, board: HookBoard, notice: Notice) -> Iterator[Hook]:
        found = list(board.hearing(notice))
        if found:
            self._known.put(notice.seq, notice)
        return iter(found)

    # ------------------------------------------------------------------------------------------ the board

    async def _refresh(self) -> None:
        """Ask who may be told what, and let the outbox and the courier go by it."""
        self.courier.pause()
        self._known.clear()
        board = await self._desk.board()
        outbox = self.outbox
        if outbox.cursor is None:
            outbox.begin_at(min(map(_begin_of, board.hooks.values()), default=board.seq))
        elif not outbox.places and board.hooks:
            # Nothing was read while there was no webhook.
            outbox.begin_at(max(outbox.cursor, min(map(_begin_of, board.hooks.values()))))
        for name in outbox.places.keys() - board.hooks.keys():
            outbox.remove(name)
        before = {} if self._board is None else self._board.hooks
        for hook in board.hooks.values():
            if hook.id not in outbox.places:
                outbox.add(hook.id, Mark(_begin_of(hook), hook.mark.number))
            self._follow(hook, before.get(hook.id))
        self._board = board
        self.courier.go_on(board)
        self._more.set()

    def _follow(self, hook: Hook, before: Hook | None) -> None:
        if before is None or not before.active:
            # What was asked before it was held may have been answered 410 meanwhile.
            self._gone.discard(hook.id)
        if before is None or before.since != hook.since:
            self.outbox.skip(hook.id, hook.since)
        if not hook.active:
            self.outbox.hold(hook.id)
        elif self.outbox.places[hook.id].held:
            self.outbox.resumed(hook.id)

    # ------------------------------------------------------------------------------------------ reading

    async def catch_up(self) -> None:
        """Read some facts for the webhooks that are behind, or wait until there is reason to look."""
        if await self._drop_some() or await self._catch_up() or await self._send_again():
            return
        self._more.clear()
        try:
            async with asyncio.timeout(LOOK_S if self._has_more() else None):
                await self._more.wait()
        except TimeoutError:
            pass

    def _has_more(self) -> bool:
        """Say whether there is something to read as soon as fewer messages wait."""
        late = (name for name, place in self.outbox.places.items() if place.cursor is not None)
        return any(map(self._is_active, late)) or bool(self.outbox.deliveries.asked())

    async def _drop_some(self) -> bool:
        name = self.outbox.drop_some(self._now())
        if name is None:
            return False
        if name in self.outbox.places and name not in self.outbox.drops:
            self.courier.look_anew(name)
        await asyncio.sleep(0)
        return True

    async def _catch_up(self) -> bool:
        behind = {name: cursor for name, cursor in self.outbox.behind().items() if self._is_active(name)}
        if not behind:
            return False
        before = min(behind.values())
        # A page never fills more than what is free.
        page = await self._page(before, min(self.cursor, before + max(1, self.outbox.most // 2)))
        through = min(page.cursor, self.cursor)
        places = self.outbox.places
        matches: dict[str, list[Match]] = {
            name: []
            for name in behind
            if name in places
            and self._is_active(name)
            and (cursor := places[name].cursor) is not None
            and before <= cursor < through
        }
        self._match(page, through, matches)
        for name in self.outbox.catch_up(through, matches):
            self.courier.look(name)
        return True

    async def _send_again(self) -> bool:
        half = self.outbox.most // 2
        for again in self.outbox.deliveries.asked():
            if not self._is_active(again.hook) or self.outbox.places[again.hook].waiting > half:
                continue
            page = await self._page(again.after, again.through)
            if not self._is_active(again.hook):
                return True
            through = min(page.cursor, again.through)
            matches: dict[str, list[Match]] = {again.hook: []}
            self._match(page, through, matches, past=True)
            self.outbox.send_again(again, through, matches[again.hook])
            self.courier.look(again.hook)
            return True
        return False

    def _match(
        self, page: Notices, through: int, matches: Mapping[str, list[Match]], *, past: bool = False
    ) -> None:
        for notice in page.notices:
            if notice.seq > through or self._board is None:
                continue
            for hook in self._board.hearing(notice, past=past):
                if hook.id in matches:
                    matches[hook.id].append(Match(notice.seq, notice.event))
                    if notice.seq not in self._known:
                        self._known.put(notice.seq, notice)

    def _is_active(self, name: str) -> bool:
        hook = None if self._board is None else self._board.hooks.get(name)
        return hook is not None and hook.active

    async def _page(self, after: int, through: int) -> Notices:
        return await self._feed.after(after, max(1, min(PAGE_FACTS, through - after)))

    async def read_unread(self) -> None:
        """Read the facts that the courier needs for further tries."""
        await self.courier.unread_known.wait()
        self.courier.unread_known.clear()
        while self.courier.unread:
            first = min(self.courier.unread)
            page = await self._page(first - 1, max(self.courier.unread))
            found = {notice.seq: notice for notice in page.notices}
            for seq in [seq for seq in self.courier.unread if first <= seq <= page.cursor]:
                self._known.put(seq, found.get(seq))
                self.courier.has_read(seq)

    # ------------------------------------------------------------------------------------------ care

    async def send(self) -> None:
        """Send what is due, and wait for more."""
        await self.courier.step()

    async def care_soon(self) -> None:
        """Take care after a while."""
        await asyncio.sleep(CARE_EVERY_S)
        await self.care()

    async def care(self) -> None:
        """Switch off what is to be switched off, note how far each webhook is, and forget what is too old."""
        # The clock may have been changed, or have stood still with the machine.
        self.courier.look_at_clock()
        clock = self.courier.clock.place
        if clock.differs(self.outbox.clock):
            self.outbox.note_clock(clock)
        if self._board is not None:
            for name, reason in due_off(self._board, self.outbox.places, self._gone, clock.seen_at).items():
                await self._desk.switch_off(name, reason)
                self._gone.discard(name)
        if time.monotonic() >= self._mark_at and await self.note_marks():
            self._mark_at = time.monotonic() + MARK_EVERY_S
        while self.outbox.deliveries.prune(self._now() - self._bounds.keep_s, self._bounds.bytes_max):
            await asyncio.sleep(0)
        await asyncio.to_thread(self.outbox.checkpoint)

    async def answer(self, question: ListDeliveries | GetDelivery) -> DeliveriesView | DeliveryView | None:
        """Answer a question about a webhook's deliveries; None where there is no such delivery."""
        hook = None if self._board is None else self._board.hooks.get(question.webhook_id)
        if isinstance(question, ListDeliveries):
            is_heard = hook is None or hook.owner is not None
            return listed(question, self.outbox, self.courier.clock.ahead_s, is_heard=is_heard)
        if hook is None:
            return None
        page = await self._page(question.seq - 1, question.seq)
        notice = next((one for one in page.notices if one.seq == question.seq), None)
        shown = notice is not None and hook.refuses(notice) != NOT_ALLOWED
        shown_notice, ahead_s = notice if shown else None, self.courier.clock.ahead_s
        return single(question, self.outbox.deliveries, hook, shown_notice, self._traces, ahead_s)

    def figures(self) -> WebhookFigures:
        """Return figures for /metrics."""
        tally = self.courier.tally
        return {
            "waiting": self.outbox.waiting,
            "held": sum(place.held for place in self.outbox.places.values()),
            "delivered": tally.delivered,
            "failures": dict(tally.failures),
            "dropped": dict(tally.drops),
        }

    async def note_marks(self) -> bool:
        """Note in the journal how far webhooks are, where that has changed; say whether it could be done."""
        marks: dict[str, Mark] = {}
        names = list(self.outbox.places)
        for first in range(0, len(names), MARK_HOOKS):
            await self.courier.leisure(OTHERS_WAIT_S_MAX)
            for name in names[first : first + MARK_HOOKS]:
                mark = None
                while mark is None and name in self.outbox.places:
                    if self.outbox.is_between:
                        # Numbers were given beyond the cursor, behind which a lost file would go on.
                        return False
                    mark = self.outbox.mark(name)
                    if mark is None:
                        await asyncio.sleep(0)
                    else:
                        marks[name] = mark
            await asyncio.sleep(0)
        changed = {name: mark for name, mark in marks.items() if mark != self._marks.get(name)}
        if changed:
            await self._desk.note(changed)
            self._marks = marks
        return True

    def _note_gone(self, name: str) -> None:
        self._gone.add(name)


def _begin_of(hook: Hook) -> int:
    """Return the seq behind which a webhook goes on where the outbox does not know it."""
    return max(hook.mark.through, hook.since)
