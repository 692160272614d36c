"""The question that opens a stream of notices."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import EVERYBODY, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.events import EventRangeView


@dataclass(frozen=True, slots=True)
class ReadEvents(QuestionKind[EventRangeView]):
    """From where to where notices can be read; everybody may, and hears of what they see (core/about.py)."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    short = True
