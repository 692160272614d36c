"""Delivers webhooks: follows the journal, keeps the outbox, and sends (helix_ray/webhooks).

It runs only on clusters that have a webhook: the supervisor starts it with the first one (ADR 77). A receiver
that hangs costs this process a socket, and the master nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.gateway import RayControlPlane
from actors.life import LivingActor, Work, reason_of
from helix_ray.config import Settings
from helix_ray.core.errors import Refused
from helix_ray.followers.feed import BatchLimits, PlaneFeed
from helix_ray.followers.following import Following, Trouble
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.tracing.configured import configured_exporter

if TYPE_CHECKING:
    from helix_ray.core.deliveries import GetDelivery, ListDeliveries
    from helix_ray.core.views.deliveries import DeliveriesView, DeliveryView

log = logging.getLogger(__name__)

NICENESS = 5
FACTS_PER_BATCH_MAX = 1_000
# The pause between batches of facts, and after a failure.
PAUSE_S = 0.005
AGAIN_S = 1.0
# Less than the callers' patience, see AnswerTimeouts in helix_ray/plane/calls.py.
FIRST_TRY_S_MAX = 3.0


class Notifier(LivingActor):
    """Owns the outbox file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()
        # Who submits tasks goes first.
        os.nice(max(0, NICENESS - os.nice(0)))

    async def opening(self) -> None:
        """Open the outbox; a damaged file is set aside, and every webhook goes on behind its last mark."""
        from helix_ray.outward.transport import Sender
        from helix_ray.webhooks.desk import PlaneDesk
        from helix_ray.webhooks.hook_traces import HookTraces
        from helix_ray.webhooks.notifying import Notifying, OutboxBounds
        from helix_ray.webhooks.outbox_file import FILE_NAME

        settings = self._settings
        self._plane = RayControlPlane(process="notifier")
        self._sender = Sender(settings.webhook_addresses())
        self._exporter = configured_exporter(settings, "notifier")
        if self._exporter is not None:
            self._plane.report_traces(self._exporter.figures)
        bounds = OutboxBounds(
            settings.webhook_waiting_max, settings.webhook_log_keep_s, settings.webhook_log_bytes_max
        )
        self._notifying = Notifying(
            self._plane, PlaneDesk(self._plane), self._sender.post, settings.data_dir / FILE_NAME, bounds,
            send_s_max=settings.webhook_response_s_max,
            traces=HookTraces(None if self._exporter is None else self._exporter.note),
        )  # fmt: skip
        try:
            await self._notifying.begin()
        except BaseException:
            await self._notifying.stop()
            await self._plane.aclose()
            raise
        feed = PlaneFeed(self._plane, abouts=True)
        self._following = Following("webhooks", self._notifying, feed, BatchLimits(FACTS_PER_BATCH_MAX))
        self._plane.report_lag(self._following.lag)
        self._plane.report_webhooks(self._notifying.figures)

    def loops(self) -> Sequence[Work]:
        """Follow the journal, read it again, send, and take care of the outbox."""
        return (
            self._patiently(lambda: self._follow),
            self._patiently(lambda: self._notifying.catch_up),
            self._patiently(lambda: self._notifying.read_unread),
            self._patiently(lambda: self._notifying.send),
            self._patiently(lambda: self._notifying.care_soon),
        )

    async def stop(self) -> None:
        """End the requests under way, note how far each webhook is, and close the file."""
        lived = self._life.lives
        self._life.stop()
        if lived:
            await self._notifying.stop()
            if self._exporter is not None:
                await self._exporter.close()

    async def deliveries(
        self, question: ListDeliveries | GetDelivery
    ) -> DeliveriesView | DeliveryView | SourceUnavailable | None:
        """Answer a question about a webhook's deliveries; return None if there is no such delivery.

        Whether the caller may see the webhook is checked before (helix_ray/plane/deliveries.py).
        """
        refusal = await self._life.not_ready(FIRST_TRY_S_MAX)
        if refusal is not None:
            return SourceUnavailable("webhooks", refusal.reason or "it is still starting")
        try:
            return await self._notifying.answer(question)
        except Refused as refused:
            return SourceUnavailable("webhooks", str(refused))

    async def _follow(self) -> None:
        if not await self._notifying.wait_for_webhooks():
            return
        await self._following.step()
        # Small batches are the most expensive ones for the master.
        await asyncio.sleep(PAUSE_S)

    def _patiently(self, work: Callable[[], Work]) -> Work:
        """Return a loop's work that waits after a failure of the machine or the control plane, and logs each
        reason once."""
        said = ""

        async def patient() -> None:
            nonlocal said
            try:
                await work()()
            except Trouble as error:
                if (reason := reason_of(error)) != said:
                    log.warning("webhooks wait, trying again: %s", error)
                said = reason
                await asyncio.sleep(AGAIN_S)
            else:
                said = ""

        patient.__name__ = "webhooks"
        return patient
