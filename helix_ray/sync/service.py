"""The service of synced devices on an event loop: waits for facts and for news; the desk does the rest."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.questions import DeviceBoard, PullChanges, QuestionKind
from helix_ray.core.views.sync import ChangesView, SyncStatusView
from helix_ray.ports import Batch
from helix_ray.sync.affected import affected_by
from helix_ray.sync.desk import SyncDesk

Ask = Callable[[QuestionKind[Any]], Awaitable[Any]]
# The scopes of devices that are not known yet.
NOWHERE = 0


class SyncService:
    """Takes batches of facts, one at a time, and answers many devices at once."""

    def __init__(
        self,
        begun: Callable[[], SyncDesk],
        ask: Ask,
        behind_s_max: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`begun` opens the file: it is opened again where memory may be ahead of it. `ask` puts the
        system's questions; `behind_s_max` is how long an answer waits for facts that are not taken yet."""
        self._begun = begun
        self._ask = ask
        self._behind_s_max = behind_s_max
        self._clock = clock
        self.desk = begun()
        self._moved = asyncio.Event()
        self._news: dict[int, asyncio.Event] = {}

    async def take(self, batch: Batch) -> None:
        """Take facts into the lists. Raises Refused where the control plane does not answer; after any error
        the same batch can be taken again."""
        affected = affected_by(batch.facts)
        taking = self.desk.taking(affected, batch.cursor, self._clock())
        try:
            question = next(taking)
            while True:
                answer = await self._ask(question)
                if isinstance(answer, Rejected):
                    raise Refused(answer)
                question = taking.send(answer)
        except StopIteration as taken:
            self._tell(taken.value)
        except Refused:
            raise
        except Exception:
            # Memory may be ahead of the file.
            self.desk.log.close()
            self.desk = self._begun()
            self._tell(list(self._news))
            raise

    @property
    def is_idle(self) -> bool:
        """Whether there is no device, as far as is known."""
        return self.desk.board.known and not self.desk.board.devices

    async def has_devices(self) -> bool:
        """Ask whether there are devices again; then nothing in between is of interest. Raises Refused."""
        answer = await self._ask(DeviceBoard(()))
        if isinstance(answer, Rejected):
            raise Refused(answer)
        if answer["total"]:
            self.desk.board.known = False
        return bool(answer["total"])

    async def pull(
        self, question: PullChanges, user: str, seq: int, wait_s: float
    ) -> ChangesView | Rejected | None:
        """Return the next page for a device of a user, as of `seq` or later; None where that is not reached.
        Waits for changes up to `wait_s` seconds."""
        if not await self._reached(seq):
            return None
        if wait_s > 0 and not self.desk.has_news(question, user):
            self.desk.presence.waits(question.device_id, 1)
            try:
                await self._until_news(question, user, wait_s)
            finally:
                self.desk.presence.waits(question.device_id, -1)
        return self.desk.pull(question, user, self._clock())

    async def status(self, user: str | None, seq: int) -> SyncStatusView | None:
        """Return how the devices of a user (None: of all users) are doing, as of `seq` or later."""
        return self.desk.status(user, self._clock()) if await self._reached(seq) else None

    async def _reached(self, seq: int) -> bool:
        if self.desk.cursor >= seq and self.desk.board.known:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._behind_s_max):
                while self.desk.cursor < seq or not self.desk.board.known:
                    await self._moved.wait()
                return True
        return False

    async def _until_news(self, question: PullChanges, user: str, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news_of(question.device_id).wait()
                while not self.desk.has_news(question, user):
                    await self._news_of(question.device_id).wait()

    def _news_of(self, device_id: str) -> asyncio.Event:
        """Return the event that is set when the list of a device changes."""
        each = self.desk.list_of(device_id)
        return self._news.setdefault(NOWHERE if each is None else each.id, asyncio.Event())

    def _tell(self, lists: Iterable[int]) -> None:
        """Wake who waits for these lists, and who waits for the cursor."""
        for id_ in lists:
            if (event := self._news.pop(id_, None)) is not None:
                event.set()
        self._moved.set()
        self._moved = asyncio.Event()
