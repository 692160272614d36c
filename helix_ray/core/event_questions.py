"""The questions of those who read notices: from where, and what the tasks of their facts are."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import EVERYBODY, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.events import EventRangeView, NoticeTasksView


@dataclass(frozen=True, slots=True)
class ReadEvents(QuestionKind[EventRangeView]):
    """From where to where notices can be read; everybody may, and hears of what they see (core/about.py)."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    short = True


@dataclass(frozen=True, slots=True)
class NoticeTasks(QuestionKind[NoticeTasksView]):
    """What these tasks are, for those who are told of their facts: one question for a page of them."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    while_stopping = True

    task_ids: tuple[str, ...]
