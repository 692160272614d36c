"""The question about the figures of security."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import AUDITORS
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.security import SecurityView


@dataclass(frozen=True, slots=True)
class SecurityFigures(QuestionKind[SecurityView]):
    """Sign-ins, sessions, and what is in force. The reasons say where a system is weak, so operators, who run
    its nodes, are not told."""

    allowed = AUDITORS
    one_at_a_time = True
