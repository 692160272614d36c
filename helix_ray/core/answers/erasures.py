"""Questions about erasing, into answers."""

from __future__ import annotations

from itertools import takewhile

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.views.erasures import ErasedTasksView, ErasuresView, ErasureView, erasure_view


def _list_erasures(picture: Picture, question: q.ListErasures, by: Principal) -> ErasuresView:
    """The newest first."""
    return {"erasures": [erasure_view(erasure) for erasure in reversed(picture.state.erasures.values())]}


def _get_erasure(picture: Picture, question: q.GetErasure, by: Principal) -> ErasureView | Rejected:
    erasure = picture.state.erasures.get(question.erasure_id)
    return not_found("Erasure", question.erasure_id) if erasure is None else erasure_view(erasure)


def _erased_tasks(picture: Picture, question: q.ErasedTasks, by: Principal) -> ErasedTasksView:
    """`through` is what to ask after next."""
    erased = picture.state.erased_tasks
    newest = takewhile(lambda task_id: erased[task_id] > question.after, reversed(erased))
    return {"task_ids": list(newest), "through": picture.state.seq}


ERASURE_ANSWERS: Answerers = {
    q.ListErasures: _list_erasures,
    q.GetErasure: _get_erasure,
    q.ErasedTasks: _erased_tasks,
}
