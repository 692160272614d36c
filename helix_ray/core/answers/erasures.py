"""Questions about erasing, into answers."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answer, Answerers, Picture
from helix_ray.core.errors import not_found
from helix_ray.core.state import Erasure


def _view(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": erasure.id,
        "status": "pending" if erasure.completed_at is None else "completed",
        "tasks": list(erasure.tasks),
        "users": list(erasure.users),
        "reason": erasure.reason,
        "requested_by": erasure.by,
        "requested_at": erasure.requested_at,
        "completed_at": erasure.completed_at,
        "facts_erased": erasure.facts,
        "facts_kept": erasure.kept,
        "copies": list(erasure.copies),
    }


def _list_erasures(picture: Picture, question: q.ListErasures, by: Principal) -> Answer:
    """The newest first."""
    return {"erasures": [_view(erasure) for erasure in reversed(picture.state.erasures.values())]}


def _get_erasure(picture: Picture, question: q.GetErasure, by: Principal) -> Answer:
    erasure = picture.state.erasures.get(question.erasure_id)
    return not_found("Erasure", question.erasure_id) if erasure is None else _view(erasure)


def _erased_tasks(picture: Picture, question: q.ErasedTasks, by: Principal) -> Answer:
    """`through` is what to ask after next."""
    erased = picture.state.erased_tasks
    newest = takewhile(lambda task_id: erased[task_id] > question.after, reversed(erased))
    return {"task_ids": list(newest), "through": picture.state.seq}


ERASURE_ANSWERS: Answerers = {
    q.ListErasures: _list_erasures,
    q.GetErasure: _get_erasure,
    q.ErasedTasks: _erased_tasks,
}
