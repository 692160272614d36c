"""A node reports in order and until it is heard: one report at once, and a flood in few orders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from actors import reporting
from actors.reporting import PACE_S_MAX, PACE_S_PER_REPORT, Reporter
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AttemptReport, OrderBody, Receipt, ReportAttempts

WAIT_S = 60.0
AWAY = Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond")
UNREADABLE = Rejected(ErrorCode.VALIDATION_ERROR, "Invalid report")

Reports = tuple[AttemptReport, ...]


class Master:
    """Accepts all reports, unless `refuse` returns a refusal."""

    def __init__(self, refuse: Callable[[Reports], Rejected | None] = lambda _: None) -> None:
        self.orders: list[tuple[float, Reports]] = []
        self.taken: list[AttemptReport] = []
        self._refuse = refuse
        self._news = asyncio.Event()
        self.reporter = Reporter("node-1", lambda: "boot-1", self._execute)

    async def _execute(self, body: OrderBody) -> Receipt | Rejected:
        assert isinstance(body, ReportAttempts)
        assert (body.worker_id, body.boot) == ("node-1", "boot-1")
        self.orders.append((time.monotonic(), body.reports))
        await asyncio.sleep(0)
        refusal = self._refuse(body.reports)
        if refusal is not None:
            return refusal
        self.taken += body.reports
        self._news.set()
        return Receipt(1, {"stale": [], "taken": len(body.reports)})

    def is_told(self, story: Coroutine[Any, Any, None], count: int) -> None:
        """Run the reporter beside a story until so many reports are taken."""

        async def scene() -> None:
            running = asyncio.create_task(self.reporter.run())
            async with asyncio.timeout(WAIT_S):
                await story
                while len(self.taken) < count or self.reporter.keys():
                    await self._news.wait()
                    self._news.clear()
                    await asyncio.sleep(0)
            running.cancel()

        asyncio.run(scene())


def completed(number: int) -> AttemptReport:
    return AttemptReport(f"task-{number}", 1, "completed", {"success": True})


async def added(reporter: Reporter, count: int) -> None:
    """Add reports one by one, and let others run after each."""
    for number in range(count):
        reporter.add(completed(number))
        await asyncio.sleep(0)


def test_a_flood_of_reports_shares_orders() -> None:
    """The more an order has, the longer the next one waits for company, within a bound."""
    master = Master()
    master.is_told(added(master.reporter, 400), 400)
    assert master.taken == [completed(number) for number in range(400)]
    assert len(master.orders[0][1]) == 1, "the first one did not wait"
    for (at, reports), (next_at, _) in pairwise(master.orders):
        assert next_at - at >= 0.9 * min(len(reports) * PACE_S_PER_REPORT, PACE_S_MAX)


def test_what_is_not_heard_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same order, until the control plane responds; so long the attempts are known as reported."""
    monkeypatch.setattr(reporting, "AGAIN_S", 0.0)
    answers = iter([AWAY, AWAY, None])
    master = Master(lambda _: next(answers))
    for number in range(3):
        master.reporter.add(completed(number))
    assert master.reporter.keys() == {(f"task-{number}", 1) for number in range(3)}
    master.is_told(asyncio.sleep(0), 3)
    assert [reports for _, reports in master.orders] == [tuple(map(completed, range(3)))] * 3


def test_what_is_refused_is_reported_as_failed() -> None:
    """The others of its order are taken; an attempt without a report would run for ever."""
    bad = completed(1)
    master = Master(lambda reports: UNREADABLE if bad in reports else None)
    for number in range(3):
        master.reporter.add(completed(number))
    master.is_told(asyncio.sleep(0), 3)
    assert [(report.task_id, report.outcome) for report in master.taken] == [
        ("task-0", "completed"),
        ("task-1", "failed"),
        ("task-2", "completed"),
    ]
