"""Answers questions about placement."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.distribution import plan_task
from helix_ray.core.answers.explanation import explain_view
from helix_ray.core.answers.named_tasks import NamedTasks
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.answers.tasks import find_task
from helix_ray.core.errors import Rejected
from helix_ray.core.views.placement import ExplainView, PlanView


def _explain(picture: Picture, question: q.ExplainTask, by: Principal) -> ExplainView | Rejected:
    task = find_task(picture.state, question.task_id, by)
    return task if isinstance(task, Rejected) else explain_view(picture, task, NamedTasks(picture.state, by))


def _plan(picture: Picture, question: q.PlanTask, by: Principal) -> PlanView | Rejected:
    task = find_task(picture.state, question.task_id, by)
    return task if isinstance(task, Rejected) else plan_task(picture, question, task)


PLACEMENT_ANSWERS: Answerers = {
    q.ExplainTask: _explain,
    q.PlanTask: _plan,
}
