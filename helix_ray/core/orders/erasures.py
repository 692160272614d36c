"""Orders about erasing what concerns somebody, or a task, from the journal."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import ADMINS, SYSTEM_ONLY
from helix_ray.core.orders.kind import IdData, OrderKind
from helix_ray.core.weight import ENDING_TASKS, TAKEN_AWAY_TASKS


@dataclass(frozen=True, slots=True)
class RequestErasure(OrderKind[IdData]):
    """Erase what concerns these tasks and users, by id; `reason` is kept for good."""

    allowed = ADMINS
    needs_key = True

    task_ids: tuple[str, ...]
    user_ids: tuple[str, ...]
    reason: str

    def work(self) -> int:
        """Return the weight of deleting its tasks, and what users may have: only the state knows how many."""
        return ENDING_TASKS + len(self.task_ids) + (TAKEN_AWAY_TASKS if self.user_ids else 0)


@dataclass(frozen=True, slots=True)
class CompleteErasure(OrderKind[IdData]):
    """Note that the journal has nothing left of what a request names."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one that is completed is not completed again

    erasure_id: str
    kept: int
    copies: tuple[str, ...]
