"""Removes from the history what is too old or too much, and has a fact explain which records of the audit are
gone.

A record is as old as the newest fact of the journal says, not as the clock says. A clock that is ahead for a
while would otherwise remove records, and once it is set back nothing could explain why they are gone: a
comparison of the audit with the journal would find them missing (ADR 84). Where nothing happens, a fact is
recorded that says the time, before records are removed by it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Fact
from helix_ray.core.orders import NotePruning, Order
from helix_ray.core.questions import Counts
from helix_ray.ports import ControlPlane
from helix_ray.wire.ids import new_seed

if TYPE_CHECKING:
    from helix_ray.views.history import History
    from helix_ray.views.pruning import HistoryLimits

PRUNE_EVERY_S = 10.0
# The newest fact says the time unless it is older than this, or than a tenth of the records' time to live.
UNSAID_S_MAX = 3600.0


class Pruner:
    """Prunes one history, step by step."""

    def __init__(
        self,
        history: History,
        plane: ControlPlane,
        settings: Settings,
        on_file: Callable[..., Awaitable[Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_file` calls a method of the history on a thread."""
        self._history, self._plane, self._settings, self._on_file = history, plane, settings, on_file
        self._clock = clock
        self._next = 0.0
        # The latest time of a fact that this start has taken in.
        self._latest = float("-inf")

    def took(self, facts: Iterable[Fact]) -> None:
        """Note the times of facts that the history has taken in."""
        self._latest = max([self._latest, *(fact.at for fact in facts)])

    async def step(self, at_head: bool) -> None:
        """Prune where it is due, also while the history is rebuilt; `at_head`: it has all facts."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PRUNE_EVERY_S
        if await self.prune(at_head):
            self._next = 0.0

    async def prune(self, at_head: bool) -> bool:
        """Remove some of what is too old or too much; say whether to go on at once."""
        counts = await self._plane.query(Counts(), SYSTEM)
        if isinstance(counts, Rejected):
            return False
        from helix_ray.views.pruning import HistoryLimits

        settings, now = self._settings, self._clock()
        limits = HistoryLimits(
            settings.history_keep_s, settings.history_keep_bytes, settings.audit_keep_s,
            counts["exported_through"] if settings.keeps_audit_until_exported() else None, self._latest,
        )  # fmt: skip
        if at_head and now - self._latest > min(UNSAID_S_MAX, settings.audit_keep_s / 10):
            await self._say_the_time(limits, now)
        more: bool = await self._on_file(self._history.prune, limits, now, counts["archived_through"])
        return more

    async def _say_the_time(self, limits: HistoryLimits, now: float) -> None:
        """Have a fact say how late it is where records are too old by the clock alone."""
        if await self._on_file(self._history.has_old_records, limits, now):
            body = NotePruning(now - limits.audit_keep_s)
            await self._plane.execute(Order(body, SYSTEM, "req-historian", new_seed()))
