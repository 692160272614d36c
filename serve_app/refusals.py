"""Sends this replica's own refusals to the journal: wrong logins, bad tokens, and missing roles.

Refusals that come while a message is under way are sent together in the next one, those of one author and
address as one entry with a count. So a flood costs the master one small message at a time, and this process a
bounded map; refusals that exceed it are counted without author and address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from helix_ray.core.access import ANONYMOUS_ID, SYSTEM
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import NoteRefusals, Order, Refusal
from helix_ray.core.origin import NOWHERE
from helix_ray.core.refusals import OTHERS
from helix_ray.ports import ControlPlane
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

SOURCES_WAITING_MAX = 1_000
CLOSING_S_MAX = 2.0


class RefusalDesk:
    """Collects and sends refusals; for use on one event loop."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        self._waiting: dict[tuple[str, ...], Refusal] = {}
        self._answer: asyncio.Future[Rejected | None] | None = None
        self._sending: asyncio.Task[None] | None = None

    def note(self, refusal: Refusal) -> asyncio.Future[Rejected | None]:
        """Take a refusal; the future's result is None when it is durable, or the
        reason it was not recorded."""
        key: tuple[str, ...] = (refusal.kind, refusal.author, refusal.origin.address, refusal.account)
        if key not in self._waiting and len(self._waiting) >= SOURCES_WAITING_MAX:
            key = (refusal.kind, OTHERS)
            refusal = replace(
                refusal, author=ANONYMOUS_ID, subject=OTHERS, request_id="", origin=NOWHERE, account=""
            )
        known = self._waiting.get(key)
        count = refusal.count if known is None else known.count + refusal.count
        self._waiting[key] = replace(known or refusal, count=count)
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        answer = self._answer
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())
        return answer

    async def noted(self, refusal: Refusal) -> None:
        """Take a refusal and wait until it is durable; raise Refused when it cannot be recorded."""
        failed = await asyncio.shield(self.note(refusal))
        if failed is not None:
            raise Refused(failed)

    async def close(self) -> None:
        """Send the waiting refusals, for at most CLOSING_S_MAX; safe to call twice."""
        if self._sending is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(CLOSING_S_MAX):
                    await self._sending

    async def _send(self) -> None:
        while self._answer is not None:
            waiting, self._waiting = self._waiting, {}
            answer, self._answer = self._answer, None
            try:
                failed = await self._recorded(tuple(waiting.values()))
            except asyncio.CancelledError:
                answer.cancel()
                raise
            answer.set_result(failed)

    async def _recorded(self, refusals: tuple[Refusal, ...]) -> Rejected | None:
        seed = new_seed()
        try:
            answer = await self._control.execute(Order(NoteRefusals(refusals), SYSTEM, f"req-{seed}", seed))
        except Exception:
            log.exception("could not record refusals from %d sources", len(refusals))
            return Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")
        if not isinstance(answer, Rejected):
            return None
        log.warning("could not record refusals from %d sources: %s", len(refusals), answer.message)
        return answer
