"""Sends a node's reports to the control plane: in order, again until they are acknowledged, and many in one
order where many come.

Each order costs the master a commit, and what follows from it another one, however few reports it has. So
each report of an order keeps the next order back a little: one report goes out at once, and where thousands
come in a second they share orders, which is most of what a short function costs beside its own run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from actors.results import refused, reports_of_one_order
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AttemptReport, Receipt, ReportAttempts
from helix_ray.core.orders.attempts import ReportedData
from helix_ray.execution.effects import Key

log = logging.getLogger(__name__)

AGAIN_S = 0.2

PACE_S_PER_REPORT = 0.0005
"""How long each report of an order keeps the next order back, in seconds."""

PACE_S_MAX = 0.02
"""The longest time between the beginnings of two orders while there is something to report, in seconds."""

Execute = Callable[[ReportAttempts], Awaitable[Receipt[ReportedData] | Rejected]]


class Reporter:
    """What is to be reported, and the loop that does; for one event loop."""

    def __init__(self, worker_id: str, boot: Callable[[], str], execute: Execute) -> None:
        """`boot` returns the id that the worker is registered with."""
        self._worker_id = worker_id
        self._boot = boot
        self._execute = execute
        self._outgoing: list[AttemptReport] = []
        self._some = asyncio.Event()
        self._next_at = 0.0

    def add(self, report: AttemptReport) -> None:
        """Report this after what was added before."""
        self._outgoing.append(report)
        self._some.set()

    def keys(self) -> set[Key]:
        """Return the attempts about which something is not acknowledged yet."""
        return {(report.task_id, report.attempt) for report in self._outgoing}

    async def run(self) -> None:
        """Report for ever; cancel it to end it."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._outgoing:
                await self._keep_pace()
                await self._report(reports_of_one_order(self._outgoing))

    async def _keep_pace(self) -> None:
        early_s = self._next_at - time.monotonic()
        if early_s > 0:
            await asyncio.sleep(early_s)

    async def _report(self, reports: Sequence[AttemptReport]) -> None:
        self._next_at = time.monotonic() + min(len(reports) * PACE_S_PER_REPORT, PACE_S_MAX)
        answer = await self._order(reports)
        if isinstance(answer, Rejected) and answer.code is ErrorCode.SERVICE_UNAVAILABLE:
            await asyncio.sleep(AGAIN_S)
            return
        taken = len(reports)
        if isinstance(answer, Rejected):
            log.error("the master rejected reports: %s", answer)
            await self._report_one_by_one(reports)
        else:
            taken = answer.data["taken"]
            if answer.data["stale"]:
                log.info("%d reports arrived too late", len(answer.data["stale"]))
        del self._outgoing[:taken]

    async def _order(self, reports: Sequence[AttemptReport]) -> Receipt[ReportedData] | Rejected:
        return await self._execute(ReportAttempts(self._worker_id, self._boot(), tuple(reports)))

    async def _report_one_by_one(self, reports: Sequence[AttemptReport]) -> None:
        """Repeat refused reports one by one; for a report that is refused alone, report
        that its attempt failed."""
        for report in reports:
            left: AttemptReport | None = report
            while left is not None:
                answer = await self._order((left,))
                if isinstance(answer, Receipt):
                    if answer.data["taken"]:
                        break
                    continue
                if answer.code is ErrorCode.SERVICE_UNAVAILABLE:
                    await asyncio.sleep(AGAIN_S)
                    continue
                left = refused(left, answer)
