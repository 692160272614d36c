"""Answers about tasks that have left the master's memory, or the reason why the history cannot answer now.

Tasks that finished after `archived_through` are answered from memory. While the tables do not reach up to
there (a lost file is rebuilt from the journal), the history cannot answer, and "no such task" would be wrong.

The tables follow the journal with a delay. A finished task in them does not change any more, unless it is
deleted or queued again: the master remembers the newest such tasks, and is asked for each answer which of
them the tables do not reflect yet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from actors import recall
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import Recalled
from helix_ray.core.orders.kind import Detail
from helix_ray.core.posture import Findings
from helix_ray.core.questions import (
    GetResult,
    GetTask,
    ListAudit,
    ListTasks,
    NoticeTasks,
    Outdated,
    SecurityFigures,
    WaitTasks,
)
from helix_ray.core.views.audit import AuditPageView
from helix_ray.core.views.events import NoticeTask, NoticeTasksView
from helix_ray.core.views.other_tasks import ids_in, without_unseen
from helix_ray.core.views.security import SecurityView
from helix_ray.core.views.tasks import EndedView, ResultView, TaskPageView, TaskView
from helix_ray.core.visibility import record_of_view, sees, sees_names, task_scope
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.ports import ControlPlane

if TYPE_CHECKING:
    from helix_ray.views.history import History

EVERY_SEQ = (0, 1 << 62)
NO_MASTER = SourceUnavailable("history", "the control plane does not respond")
BEHIND = SourceUnavailable("history", "the history is being rebuilt")

_View = TypeVar("_View", bound=TaskView | ResultView)

# How long a question waits for the tables to reach its facts.
FOLLOWED_S_MAX = 3.0

# Runs a method of the history on a thread: (function, arguments) -> its result.
OnThread = Callable[..., Awaitable[Any]]
# Adds what is in force on this machine to findings.
Look = Callable[[Findings], Findings]
Completed = GetTask | GetResult | ListTasks | WaitTasks | NoticeTasks | ListAudit | SecurityFigures


def see_nothing(findings: Findings) -> Findings:
    """Add nothing: what is in force here is not known."""
    return findings


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The rows of the tables that count: endings up to `archived_through`, without
    the tasks in `outdated`."""

    archived_through: int
    outdated: frozenset[str]


class Archive:
    """Answers questions from one history."""

    def __init__(
        self,
        history: History,
        plane: ControlPlane,
        on_thread: OnThread = asyncio.to_thread,
        look: Look = see_nothing,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        """`hurry` has the tables follow the journal at once."""
        self._hurry = hurry
        self._history = history
        self._plane = plane
        self._on_thread = on_thread
        self._look = look
        self._grown = asyncio.Event()

    def grown(self) -> None:
        """Take note that the tables have more facts, for those who wait for them."""
        self._grown.set()

    async def complete(
        self, question: Completed, by: Principal, reply: Any
    ) -> Mapping[str, object] | SourceUnavailable | None:
        """Return what the history adds to the master's reply (core/answers/archived.py)."""
        if isinstance(question, ListAudit):
            return await self.audit(question, reply)
        if isinstance(question, SecurityFigures):
            return await self.security(reply)
        if isinstance(question, ListTasks):
            return await self.list(question, by, reply)
        if isinstance(question, WaitTasks):
            return await self.wait(question, by, reply)
        if isinstance(question, NoticeTasks):
            return await self.notice_tasks(by, reply)
        return await self.find(question, by)

    async def audit(self, question: ListAudit, reply: AuditPageView) -> AuditPageView | SourceUnavailable:
        """Return a page of the audit that has every fact from before the question; who follows the audit
        gets what is there, also while the tables are far behind. Later facts are not in it, such as the
        record of this search."""
        # The next search has to have that record: it is taken in while this one goes on.
        self._hurry()
        if not await self._followed(reply["through"]) and question.after is None:
            return BEHIND
        question = replace(question, user=reply["user"])
        page: AuditPageView = await self._on_thread(self._history.audit, question, reply["through"])
        return {**page, "difference": reply["difference"]}

    async def security(self, reply: SecurityView) -> SecurityView | SourceUnavailable:
        """Return the figures of security with the sign-ins from before the question, and what is in force."""
        if not await self._followed(reply["through"]):
            return BEHIND
        findings = await asyncio.to_thread(self._look, reply["findings"])
        return {**reply, "sign_ins": await self._on_thread(self._history.sign_ins), "findings": findings}

    async def _followed(self, through: int) -> bool:
        """Wait until the tables have every fact up to `through`; say whether they have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLLOWED_S_MAX):
                while self._history.through < through:
                    self._grown.clear()
                    self._hurry()
                    await self._grown.wait()
                return True
        return False

    async def find(
        self, question: GetTask | GetResult, by: Principal
    ) -> TaskView | ResultView | SourceUnavailable | None:
        """Return an archived task or its result; None when there is none that the caller may see."""
        bounds = await self._bounds(task_ids=(question.task_id,))
        if isinstance(bounds, SourceUnavailable):
            return bounds
        if question.task_id in bounds.outdated:
            return None
        through = bounds.archived_through
        ask = self._history.get_task if isinstance(question, GetTask) else self._history.result
        view: TaskView | ResultView | None = await self._on_thread(ask, question.task_id, through)
        if view is None and self._history.through < through:
            return BEHIND
        if view is None or not sees(by, record_of_view(view)):
            return None
        (shown,) = await self._as_seen([view], by, through)
        return shown

    async def _as_seen(self, views: Sequence[_View], by: Principal, through: int) -> list[_View]:
        """Return views without the ids of tasks that the caller may not see, or that are not archived."""
        named = {task_id for view in views if not sees_names(by, view["owner"]) for task_id in ids_in(view)}
        if not named:
            return [*views]
        found = await self._on_thread(self._history.results, [*named], through, False)
        seen = {task_id for task_id, each in found.items() if sees(by, record_of_view(each))}
        hidden = named - seen
        return [
            view if sees_names(by, view["owner"]) else without_unseen(view, lambda i: i not in hidden)
            for view in views
        ]

    async def recall(
        self, task_ids: tuple[str, ...], causes: tuple[str, ...], detail: Detail
    ) -> Recalled | SourceUnavailable:
        """Return archived tasks as records, with those that failed because of `causes`."""
        through = self._history.through
        bounds = await self._bounds(task_ids=())
        if isinstance(bounds, SourceUnavailable):
            return bounds
        if through < bounds.archived_through:
            return BEHIND
        found = await self._on_thread(
            recall.read, self._history, bounds.archived_through, task_ids, causes, detail
        )
        try:
            return await recall.recalled(self._plane, found, through, task_ids, causes, detail)
        except Refused:
            return NO_MASTER

    async def list(
        self, question: ListTasks, by: Principal, live: TaskPageView
    ) -> TaskPageView | SourceUnavailable:
        """Complete a listing of tasks in memory with archived tasks."""
        if self._history.through < live["archived_through"]:
            return BEHIND
        bounds = await self._bounds(until=live["seq"])
        if isinstance(bounds, SourceUnavailable):
            return bounds
        page = await self._page(question, by, live, sorted(bounds.outdated))
        if self._history.restored_through <= live["seq"]:
            return page
        # A task was restored to memory since memory was asked, and may be in neither answer.
        again = await self._plane.query(replace(question, seqs=EVERY_SEQ), by)
        return NO_MASTER if isinstance(again, Rejected) else await self.list(question, by, again)

    async def _page(
        self, question: ListTasks, by: Principal, live: TaskPageView, without: Sequence[str]
    ) -> TaskPageView | SourceUnavailable:
        """Return a page of both, newest first by submit: a young task may be archived before older ones."""
        end, through, scope = question.offset + question.limit, live["archived_through"], task_scope(by)
        asked = question, scope, through
        seqs = await self._on_thread(self._history.seqs, *asked, end, without)
        in_memory = [*live["before"], *(line["seq"] for line in live["tasks"])]
        page = sorted((*in_memory, *seqs), reverse=True)[question.offset : end]
        lines = {line["seq"]: line for line in live["tasks"]}
        bounds = (page[-1], page[0]) if page else (0, 0)
        if not lines.keys() >= set(page).intersection(in_memory):
            # Archived tasks come before the page, so it needs tasks in memory that the
            # answer did not include.
            found = await self._plane.query(replace(question, offset=0, seqs=bounds), by)
            if isinstance(found, Rejected):
                return NO_MASTER
            lines |= {line["seq"]: line for line in found["tasks"]}
            # Tasks that have left memory meanwhile are among the archived ones.
            through = found["archived_through"]
            if self._history.through < through:
                return BEHIND
        older, total = await self._on_thread(
            self._history.list, question, scope, through, question.limit, without, bounds
        )
        lines = {line["seq"]: line for line in older} | lines
        tasks = [lines[seq] for seq in sorted(lines, reverse=True) if bounds[0] <= seq <= bounds[1]]
        return {**live, "tasks": tasks[: question.limit], "total": live["total"] + total}

    async def wait(
        self, question: WaitTasks, by: Principal, live: EndedView
    ) -> EndedView | SourceUnavailable:
        """Complete a WaitTasks answer with the outcomes of archived tasks."""
        bounds = await self._bounds(task_ids=tuple(live["unknown"]))
        if isinstance(bounds, SourceUnavailable):
            return bounds
        through = bounds.archived_through
        wanted = [task_id for task_id in live["unknown"] if task_id not in bounds.outdated]
        found = await self._on_thread(self._history.results, wanted, through, question.results)
        seen = {i: view for i, view in found.items() if sees(by, record_of_view(view))}
        shown = await self._as_seen([*seen.values()], by, through)
        unknown = [task_id for task_id in live["unknown"] if task_id not in seen]
        if unknown and self._history.through < through:
            return BEHIND
        return {**live, "done": [*live["done"], *shown], "unknown": unknown}

    async def notice_tasks(self, by: Principal, live: NoticeTasksView) -> NoticeTasksView | SourceUnavailable:
        """Complete an answer to NoticeTasks with archived tasks."""
        bounds = await self._bounds(task_ids=tuple(live["unknown"]))
        if isinstance(bounds, SourceUnavailable):
            return bounds
        wanted = [task_id for task_id in live["unknown"] if task_id not in bounds.outdated]
        found: dict[str, NoticeTask] = await self._on_thread(
            self._history.notice_tasks, wanted, bounds.archived_through
        )
        seen = {task_id: task for task_id, task in found.items() if sees(by, record_of_view(task))}
        unknown = [task_id for task_id in live["unknown"] if task_id not in seen]
        if unknown and self._history.through < bounds.archived_through:
            return BEHIND
        return {"tasks": live["tasks"] | seen, "unknown": unknown}

    async def _bounds(
        self, task_ids: tuple[str, ...] | None = None, until: int = 0
    ) -> _Bounds | SourceUnavailable:
        """Return the bounds for reads of the tables after this call."""
        reply = await self._plane.query(Outdated(self._history.through, task_ids, until), SYSTEM)
        if isinstance(reply, Rejected):
            return NO_MASTER
        if not reply["complete"]:
            return BEHIND
        return _Bounds(int(reply["archived_through"]), frozenset(reply["task_ids"]))
