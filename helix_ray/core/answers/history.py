"""Answers questions of the history about archived tasks."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.views.history import OutdatedView


def _outdated(picture: Picture, question: q.Outdated, by: Principal) -> OutdatedView:
    """`complete` is False for a history that is further behind than the changes remembered here."""
    ids: list[str] = []
    if question.task_ids is None:
        for task_id, (first, last) in reversed(picture.state.rewritten.items()):
            if last <= question.after:
                break
            # A task that first changed later was still as the history has it when the caller read it.
            if first <= question.until:
                ids.append(task_id)
    else:
        rewritten = picture.state.rewritten
        behind = (i for i in question.task_ids if i in rewritten and rewritten[i][1] > question.after)
        ids = [i for i in behind if i not in picture.state.tasks]
    return {
        "task_ids": ids,
        "complete": question.after >= picture.state.rewritten_dropped,
        "archived_through": picture.state.archived_through,
    }


HISTORY_ANSWERS: Answerers = {
    q.Outdated: _outdated,
}
