"""Answers questions of node workers about their attempts."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal, claim
from helix_ray.core.answers.picture import Answerers, NewsChecks, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.model_choice import usable_choices
from helix_ray.core.model_records import ModelFiles
from helix_ray.core.models import NODE_CLASS_LABEL, files_needed_by, split_reference, used_reference
from helix_ray.core.state import State, Task, TaskClass, Worker, project_of
from helix_ray.core.views.attempts import AssignmentView, InboxView, WorkView


def _work_for(picture: Picture, question: q.WorkFor, by: Principal) -> WorkView | Rejected:
    """Revocations do not survive a restart: a node worker from another epoch gets all its assignments."""
    state, epoch = picture.state, picture.epoch
    worker = state.workers.get(question.worker_id)
    if worker is None or worker.boot != question.boot:
        return not_found("Worker", question.worker_id)
    after = question.after if question.epoch == epoch else 0
    full = after <= 0 or (len(worker.inbox) == worker.inbox.maxlen and worker.inbox[0][0] > after)
    if full:
        assign = [
            _assignment(picture, state.tasks[i], attempt, worker) for i, attempt in worker.running.items()
        ]
        return {"full": True, "seq": state.seq, "assign": assign, "revoke": [], "epoch": epoch}
    return {"full": False, "seq": state.seq, **_inbox_after(picture, worker, after), "epoch": epoch}


def _inbox_after(picture: Picture, worker: Worker, after: int) -> InboxView:
    assign: list[AssignmentView] = []
    revoke: list[tuple[str, int]] = []
    for seq, task_id, attempt, assigned in reversed(worker.inbox):
        if seq <= after:
            break
        if not assigned:
            revoke.append((task_id, attempt))
        elif worker.running.get(task_id) == attempt:
            assign.append(_assignment(picture, picture.state.tasks[task_id], attempt, worker))
    assign.reverse()
    return {"assign": assign, "revoke": revoke}


def _assignment(picture: Picture, task: Task, attempt: int, worker: Worker) -> AssignmentView:
    shard = task.spec.get("shard")
    work: AssignmentView = {
        "task_id": task.id,
        "attempt": attempt,
        "run": task.spec["run"],
        "timeout_s": task.spec.get("timeout_s"),
        "group": task.task_class,
        "shard": (shard["index"], shard["count"]) if shard else None,
        "owner": task.owner,
        "project": project_of(task),
        "mac": picture.mac(claim(task.owner, task.id, attempt)),
    }
    used = used_reference(task.run)
    files = _files_of(picture.state, used, worker, task.task_class) if used is not None else None
    if files is not None:
        work["model_files"] = files
    needed = files_needed_by(task.spec["run"], files)
    if needed:
        work["blobs"] = needed
    if "traceparent" in task.spec:
        work["traceparent"] = task.spec["traceparent"]
    return work


def _files_of(state: State, used: str, worker: Worker, task_class: TaskClass) -> ModelFiles | None:
    """Return what a node needs of the version that a run names; None where it is gone."""
    name, number = split_reference(used)
    model = state.models.get(name)
    version = model.ready(number) if model is not None else None
    if version is None:
        return None
    node_class = worker.labels.get(NODE_CLASS_LABEL)
    tuning = version.tunings.get(node_class or "")
    return {
        "model": name,
        "version": version.number,
        "batch": version.report["batch"] if version.report is not None else "none",
        "node_class": node_class,
        "variants": version.variants(),
        "choices": usable_choices(tuning["choices"] if tuning is not None else [], task_class.demand),
    }


def _has_work(question: q.WorkFor, reply: WorkView) -> bool:
    return bool(reply["assign"] or reply["revoke"] or reply["full"])


ATTEMPT_ANSWERS: Answerers = {
    q.WorkFor: _work_for,
}

ATTEMPT_NEWS: NewsChecks = {q.WorkFor: _has_work}
