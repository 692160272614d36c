"""What the history adds to an answer of the master's where tasks have left memory, by kind of question.

The plane asks the history for what is lacking, and the master once more for what the history does not
know either: a task that came back into memory between the two answers was in neither.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from helix_ray.core.answers.distribution import refused_by_status
from helix_ray.core.answers.explanation import ended_view
from helix_ray.core.answers.picture import Answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.questions import (
    ExplainTask,
    GetResult,
    GetTask,
    ListAudit,
    ListTasks,
    NoticeTasks,
    PlanTask,
    QuestionKind,
    SecurityFigures,
    WaitTasks,
)
from helix_ray.core.views.audit import AuditPageView
from helix_ray.core.views.events import NoticeTasksView
from helix_ray.core.views.security import SecurityView
from helix_ray.core.views.tasks import EndedView, TaskPageView, TaskView


class Completion:
    """How the answers to a kind of question are completed; a reply is what is known so far."""

    def lacks(self, question: Any, reply: Any) -> bool:
        """Say whether the history may know more."""
        raise NotImplementedError

    def asked(self, question: Any) -> QuestionKind[Any]:
        """Return what the history is asked."""
        found: QuestionKind[Any] = question
        return found

    def answered(self, question: Any, found: Any) -> Answer:
        """Return the reply, given what the history has found."""
        answer: Answer = found
        return answer

    def unavailable(self, reply: Any, refusal: Rejected) -> Answer:
        """Return the answer where the history does not respond."""
        return refusal

    def rest(self, question: Any, reply: Any) -> QuestionKind[Any] | None:
        """Return what the master is asked again; None where nothing is lacking any more."""
        return None

    def joined(self, reply: Any, again: Any) -> Answer:
        """Return the answer, given what the master has said to the rest."""
        answer: Answer = again
        return answer


class _OfOneTask(Completion):
    """A task that the master does not have may be archived."""

    def lacks(self, question: Any, reply: Any) -> bool:
        return isinstance(reply, Rejected) and reply.code is ErrorCode.NOT_FOUND

    def rest(self, question: QuestionKind[Any], reply: Any) -> QuestionKind[Any] | None:
        return question if self.lacks(question, reply) else None


class _FromView(_OfOneTask):
    """What is made from the view of an archived task."""

    def asked(self, question: ExplainTask | PlanTask) -> QuestionKind[Any]:
        return GetTask(question.task_id)

    def answered(self, question: ExplainTask | PlanTask, found: TaskView) -> Answer:
        return ended_view(found) if isinstance(question, ExplainTask) else refused_by_status(question, found)


class _OfPage(Completion):
    """A page continues in the history, unless certain tasks of memory are asked for."""

    def lacks(self, question: ListTasks, reply: TaskPageView | Rejected) -> bool:
        return not isinstance(reply, Rejected) and question.seqs is None and bool(reply["archived"])


class _OfEnded(Completion):
    """Tasks that the master does not have may have ended long ago."""

    def lacks(self, question: WaitTasks, reply: EndedView | Rejected) -> bool:
        return not isinstance(reply, Rejected) and bool(reply["unknown"])

    def unavailable(self, reply: EndedView, refusal: Rejected) -> Answer:
        """Return known outcomes; the other tasks are neither finished nor unknown."""
        return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": refusal}

    def rest(self, question: WaitTasks, reply: EndedView) -> QuestionKind[Any] | None:
        return replace(question, task_ids=tuple(reply["unknown"])) if reply["unknown"] else None

    def joined(self, reply: EndedView, again: EndedView | Rejected) -> Answer:
        if isinstance(again, Rejected):
            return again
        opened = reply["open"] + again["open"]
        return {**again, "done": [*reply["done"], *again["done"]], "open": opened}


class _OfNoticeTasks(Completion):
    """Tasks that the master does not have may be archived."""

    def lacks(self, question: NoticeTasks, reply: NoticeTasksView | Rejected) -> bool:
        return not isinstance(reply, Rejected) and bool(reply["unknown"])

    def rest(self, question: NoticeTasks, reply: NoticeTasksView) -> QuestionKind[Any] | None:
        return NoticeTasks(tuple(reply["unknown"])) if reply["unknown"] else None

    def joined(self, reply: NoticeTasksView, again: NoticeTasksView | Rejected) -> Answer:
        return again if isinstance(again, Rejected) else {**again, "tasks": reply["tasks"] | again["tasks"]}


class _OfAudit(Completion):
    """The history has all records of the audit."""

    def lacks(self, question: Any, reply: AuditPageView | Rejected) -> bool:
        return not isinstance(reply, Rejected) and reply["rows"] is None


class _OfSecurity(Completion):
    """The history counts the sign-ins of the audit, and its process sees what is in force on the head."""

    def lacks(self, question: Any, reply: SecurityView | Rejected) -> bool:
        return not isinstance(reply, Rejected) and reply["sign_ins"] is None


COMPLETIONS: Final[dict[type, Completion]] = {
    GetTask: _OfOneTask(),
    GetResult: _OfOneTask(),
    ExplainTask: _FromView(),
    PlanTask: _FromView(),
    ListTasks: _OfPage(),
    WaitTasks: _OfEnded(),
    NoticeTasks: _OfNoticeTasks(),
    ListAudit: _OfAudit(),
    SecurityFigures: _OfSecurity(),
}
