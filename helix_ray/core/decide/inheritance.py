"""Decides which priority tasks inherit from those that wait for them.

A task whose level must be recomputed is in `State.dirty_levels`. A change may reach the tasks that it waits
for itself: the fact notes those, and the next order recomputes them. So each order is bounded, and the end is
the same whatever the order of the facts was.
"""

from __future__ import annotations

from helix_ray.core.blocking import inherited_by
from helix_ray.core.decide.outcome import Context
from helix_ray.core.events import Event, TaskPrioritised
from helix_ray.core.specs import PRIORITIES
from helix_ray.core.weight import LINKS_PER_TASK


def inherited_priorities(ctx: Context, tasks_max: int) -> list[Event]:
    """Return the priorities of up to `tasks_max` tasks to recompute; many that wait for one count as more."""
    state, events = ctx.state, list[Event]()
    left, decided = tasks_max, dict[str, int]()
    for task_id in state.dirty_levels:
        if left <= 0:
            break
        waiting = len(state.dependents.get(task_id, ())) + len(state.blocking.get(task_id, ()))
        left -= 1 + waiting // LINKS_PER_TASK
        # With the levels of this order: a fact takes its task out of those to recompute.
        task = state.tasks[task_id]
        inherited = inherited_by(state, task, decided)
        if inherited is None:
            decided[task_id] = task.level
            events.append(TaskPrioritised(task_id, None))
        else:
            decided[task_id] = inherited[0]
            events.append(TaskPrioritised(task_id, PRIORITIES[inherited[0]], inherited[1]))
    return events
