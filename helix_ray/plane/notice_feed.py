"""Notices after a cursor: all of them in the system's name, else those that a principal hears of.

Who reads in the system's name decides by `about` who hears of them.

What the control plane's memory does not know (a task that was archived long ago) is asked of the history
here, in one question for each batch. What the history does not know either was deleted: only those hear of it
who see all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.about import About, of_notice_task
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.events import Fact, subject_of
from helix_ray.core.notices import Notice, notice_of
from helix_ray.core.questions import NoticeTasks
from helix_ray.core.tellings import TELLINGS
from helix_ray.core.views.events import NoticeTask
from helix_ray.ports import Batch, ControlPlane

OF_TASKS = frozenset(kind for kind, each in TELLINGS.items() if each.names[0].startswith("task."))


@dataclass(frozen=True, slots=True)
class Notices:
    """Notices after a cursor, the facts that they were made of, and the newest seq (`head`)."""

    notices: tuple[Notice, ...]
    facts: tuple[Fact, ...]
    cursor: int
    head: int


class NoticeFeed:
    """The notices that `by` hears of, in order; nothing skipped, nothing twice."""

    def __init__(self, plane: ControlPlane, by: Principal = SYSTEM) -> None:
        self._plane = plane
        self._by = by

    async def after(self, cursor: int, limit: int, wait_s: float = 0.0) -> Notices:
        """Return the notices of up to `limit` facts after a cursor, waiting up to `wait_s` for the first.

        Raises Refused when the control plane or the history does not respond: then nothing was read.
        """
        batch = await self._plane.events(cursor, limit, self._by, wait_s, abouts=True)
        return Notices(await self.notices_of(batch), batch.facts, batch.cursor, batch.head)

    async def notices_of(self, batch: Batch) -> tuple[Notice, ...]:
        """Return the notices of a batch that was asked for with what its facts are about. Raises Refused as
        `after` does."""
        recalled = await self._recalled(batch.facts, batch.abouts)
        notices = []
        for fact, found in zip(batch.facts, batch.abouts, strict=True):
            task = None if found.known else recalled.get(subject_of(fact.event))
            notice = notice_of(fact, found if task is None else of_notice_task(found, task))
            if notice is not None:
                notices.append(notice)
        return tuple(notices)

    async def _recalled(self, facts: tuple[Fact, ...], abouts: tuple[About, ...]) -> dict[str, NoticeTask]:
        """Return the tasks that memory does not know, from the history."""
        missing = {
            subject_of(fact.event): None
            for fact, found in zip(facts, abouts, strict=True)
            if not found.known and type(fact.event) in OF_TASKS
        }
        if not missing:
            return {}
        answer = await self._plane.query(NoticeTasks(tuple(missing)), self._by)
        if isinstance(answer, Rejected):
            raise Refused(answer)
        return answer["tasks"]
