"""What an order lacks of tasks that have left memory: the plane asks the history for them, and gives the
order again with what it knows (Order.recalled)."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.decide.outcome import Context
from helix_ray.core.errors import NotInMemory, Rejected


def unasked(ctx: Context, task_ids: Iterable[str]) -> list[str]:
    """Return those of these tasks that are not in memory, that the history may have, and that
    it was not asked for yet."""
    state, recalled = ctx.state, ctx.order.recalled
    if not state.archived_through:
        return []
    asked = recalled.tasks if recalled is not None else {}
    return [
        name
        for name in dict.fromkeys(task_ids)
        if name not in state.tasks and name not in asked and name not in state.rewritten
    ]


def not_in_memory(
    ctx: Context, refusal: Rejected, task_ids: Iterable[str], causes: Iterable[str] = ()
) -> NotInMemory:
    """Ask for more tasks, and for those that failed because of `causes`; `refusal` is what is said where
    there is no history to ask."""
    recalled = ctx.order.recalled
    # Whatever was recalled before is needed still.
    names = [*(recalled.tasks if recalled is not None else ()), *task_ids]
    because = [*(recalled.causes if recalled is not None else ()), *causes]
    return NotInMemory(
        refusal.code,
        refusal.message,
        refusal.details,
        tuple(dict.fromkeys(names)),
        tuple(dict.fromkeys(because)),
    )
