"""Questions about how the system is."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import READERS, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.monitoring import SystemView


@dataclass(frozen=True, slots=True)
class SystemFigures(QuestionKind[SystemView]):
    """How the hosts of the cluster are, or that of one node."""

    allowed = READERS
    tokens = Tokens.UNBOUND
    one_at_a_time = True

    node_id: str | None = None
