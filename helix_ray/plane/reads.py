"""Sends what was read through this process to the audit, off the way of the answers.

Reads of one reader are gathered for SENT_EVERY_S and become one order and one fact; those of a busy second
travel together. What cannot be recorded now (the disk is full, the master is away) waits and is counted on.
The queue is bounded: beyond it reads are counted by their class alone, and that count is a fact of its own,
the gap. A process that is killed loses what it has gathered in that second.

A search of the audit is answered only when its record is durable. What it looks for is known before its
answer, so the record is written while the history searches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

from helix_ray.core.access import SYSTEM, Principal, may
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import NoteReads, Order
from helix_ray.core.orders.kind import NoData
from helix_ray.core.origin import NOWHERE, Origin
from helix_ray.core.question_kind import QuestionKind, View
from helix_ray.core.read_classes import ALWAYS, ReadClass
from helix_ray.core.reads import Read, read_before, read_of
from helix_ray.ports import ControlPlane
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

SENT_EVERY_S: Final = 1.0
# Of one reader in one order; further things begin another one.
IDS_MAX: Final = 50
WAITING_MAX: Final = 2_000
NOTED_S_MAX: Final = 0.9
CLOSING_S_MAX: Final = 2.0
_LATE: Final = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The read cannot be recorded in the audit", {"retry_after_s": 1}
)


class _Of(NamedTuple):
    """Whose reads are gathered: of which class, by whom, from where, and for the audit which search."""

    read: ReadClass
    reader: str
    address: str
    credential: str
    asked: str


@dataclass(slots=True)
class _Gathered:
    """What one reader has read since the last order; a dict of ids for its order."""

    of: _Of
    request_id: str
    origin: Origin
    count: int = 0
    ids: dict[str, None] = field(default_factory=dict)

    def order(self) -> Order[NoData]:
        """Return the order that records it."""
        body = NoteReads(self.of.reader, self.of.read, self.count, tuple(self.ids), self.of.asked)
        return _order(body, self.request_id, self.origin)


class Gathering:
    """The bounded queue: reads by reader, and the number of those for which there was no place."""

    def __init__(self) -> None:
        self._open: dict[_Of, _Gathered] = {}
        self._full: list[_Gathered] = []
        self._gaps: dict[ReadClass, int] = {}

    def __bool__(self) -> bool:
        return bool(self._open or self._full or self._gaps)

    def add(self, read: Read, by: Principal, request_id: str, origin: Origin) -> None:
        """Gather a read, which counts for each of the things that were read."""
        of = _Of(read.read, by.id, origin.address, by.credential, read.asked)
        for thing in read.ids or (None,):
            gathered = self._open.get(of) or self._begun(of, request_id, origin)
            if gathered is None:
                self.missed(of.read)
                continue
            gathered.count += 1
            if thing is not None:
                gathered.ids[thing] = None
                if len(gathered.ids) >= IDS_MAX:
                    self._full.append(self._open.pop(of))

    def _begun(self, of: _Of, request_id: str, origin: Origin) -> _Gathered | None:
        if len(self._open) + len(self._full) >= WAITING_MAX:
            return None
        gathered = self._open[of] = _Gathered(of, request_id, origin)
        return gathered

    def missed(self, read: ReadClass, count: int = 1) -> None:
        """Count reads of which nothing else is kept."""
        self._gaps[read] = self._gaps.get(read, 0) + count

    def take(self) -> tuple[list[_Gathered], dict[ReadClass, int]]:
        """Return everything, to be sent."""
        taken, gaps = [*self._full, *self._open.values()], self._gaps
        self._open, self._full, self._gaps = {}, [], {}
        return taken, gaps

    def give_back(self, gathered: _Gathered) -> None:
        """Keep what could not be sent for the next time."""
        if len(self._open) + len(self._full) >= WAITING_MAX:
            self.missed(gathered.of.read, gathered.count)
        else:
            self._full.append(gathered)


class ReadDesk:
    """Collects reads and sends them; for use on one event loop."""

    def __init__(self, control: ControlPlane, classes: Collection[ReadClass]) -> None:
        """`classes` are those whose reads are recorded."""
        self._classes = frozenset(classes)
        self._control = control
        self._gathering = Gathering()
        self._sending: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def has(self, question: QuestionKind[Any]) -> bool:
        """Say whether answers to a question may have to be recorded; for the way of every answer."""
        return question.reads is not None and question.reads in self._classes

    async def query(
        self,
        question: QuestionKind[View],
        by: Principal,
        wait_s: float = 0.0,
        request_id: str = "",
        origin: Origin | None = None,
    ) -> View | Rejected:
        """Answer a question, and take note of the answer; raises Refused where that must be durable and is
        not."""
        asked = asyncio.ensure_future(self._control.query(question, by, wait_s))
        early = self._early(question, by, request_id, origin)
        try:
            answer = await asked
            if isinstance(answer, Rejected):
                return answer
            if early is not None:
                await early
            elif self.has(question):
                await self.note(question, cast("Any", answer), by, request_id, origin)
            return answer
        finally:
            asked.cancel()
            if early is not None and not early.cancel() and not early.cancelled():
                # Where the search has failed, nobody asks whether its record has too.
                early.exception()

    def _early(
        self, question: QuestionKind[Any], by: Principal, request_id: str, origin: Origin | None
    ) -> asyncio.Future[None] | None:
        """Begin to write the record of a read of which it is known before the answer; after the question, so
        that its answer does not have to have this record."""
        if by.id == SYSTEM.id or not may(by, type(question)) or (read := read_before(question)) is None:
            return None
        return asyncio.ensure_future(self._noted(read, by, request_id, _whence(origin, by)))

    async def note(
        self,
        question: QuestionKind[Any],
        view: Mapping[str, Any],
        by: Principal,
        request_id: str = "",
        origin: Origin | None = None,
    ) -> None:
        """Take note of an answer before it is given; raises Refused where that must be durable and is not."""
        if by.id == SYSTEM.id or (read := read_of(question, view)) is None:
            return
        origin = _whence(origin, by)
        if read.read in ALWAYS:
            await self._noted(read, by, request_id, origin)
            return
        self._gathering.add(read, by, request_id, origin)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Send what was gathered, for at most CLOSING_S_MAX; safe to call twice."""
        self._closing.set()
        if self._sending is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(CLOSING_S_MAX):
                    await self._sending

    async def _noted(self, read: Read, by: Principal, request_id: str, origin: Origin) -> None:
        body = NoteReads(by.id, read.read, 1, read.ids, read.asked)
        try:
            async with asyncio.timeout(NOTED_S_MAX):
                answer = await self._control.execute(_order(body, request_id, origin))
        except TimeoutError:
            raise Refused(_LATE) from None
        if isinstance(answer, Rejected):
            raise Refused(answer)

    async def _send(self) -> None:
        while self._gathering:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SENT_EVERY_S):
                    await self._closing.wait()
            closing = self._closing.is_set()
            await self._flush()
            if closing:
                return

    async def _flush(self) -> None:
        taken, gaps = self._gathering.take()
        kept = await asyncio.gather(*(self._is_kept(each.order()) for each in taken))
        for each, done in zip(taken, kept, strict=True):
            if not done:
                self._gathering.give_back(each)
        for read, count in gaps.items():
            # Last: the gap is over when there is room again.
            if not await self._is_kept(_order(NoteReads(SYSTEM.id, read, count, gap=True))):
                self._gathering.missed(read, count)

    async def _is_kept(self, order: Order[NoData]) -> bool:
        try:
            answer = await self._control.execute(order)
        except Exception:
            log.exception("could not record reads")
            return False
        return not isinstance(answer, Rejected)


def _whence(origin: Origin | None, by: Principal) -> Origin:
    return Origin(credential=by.credential) if origin is None else origin


def _order(body: NoteReads, request_id: str = "", origin: Origin = NOWHERE) -> Order[NoData]:
    seed = new_seed()
    return Order(body, SYSTEM, request_id or f"req-{seed}", seed, origin=origin)
