"""Answers questions about workers."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.named_tasks import NamedTasks
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.views.workers import WorkersView, WorkerView, worker_view


def _list_workers(picture: Picture, question: q.ListWorkers, by: Principal) -> WorkersView:
    workers, visible = picture.state.workers.values(), NamedTasks(picture.state, by).visible
    return {"workers": [worker_view(w, picture.liveness.pulses.get(w.id), visible) for w in workers]}


def _get_worker(picture: Picture, question: q.GetWorker, by: Principal) -> WorkerView | Rejected:
    worker = picture.state.workers.get(question.worker_id)
    if worker is None:
        return not_found("Worker", question.worker_id)
    visible = NamedTasks(picture.state, by).visible
    return worker_view(worker, picture.liveness.pulses.get(worker.id), visible)


WORKER_ANSWERS: Answerers = {
    q.ListWorkers: _list_workers,
    q.GetWorker: _get_worker,
}
