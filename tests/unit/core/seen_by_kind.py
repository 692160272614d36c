"""Who sees which fact, said a second time: kind by kind, from the objects of the state, as a model for tests
of core/about.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.access import Principal, in_scope, may
from helix_ray.core.datasets import DataSet
from helix_ray.core.membership import seen_uploads, sees_model
from helix_ray.core.questions import ListAudit, ListQuotas, ListWorkers
from helix_ray.core.state import State
from helix_ray.core.visibility import (
    EVERY_TASK,
    TaskRecord,
    administers,
    reads_all_tasks,
    record_of,
    sees,
    sees_all_tasks,
    task_scope,
)


def sees_fact(state: State, by: Principal, event: Any) -> bool:
    """Say whether somebody sees a fact, by the objects that they see."""
    kind = type(event).__name__
    if kind == "TaskSubmitted":
        known = _record(state, event.id)
        return _told(by, known or TaskRecord(event.owner, None, event.spec.get("project_id")))
    if kind == "QuotaSet":
        return may(by, ListQuotas) and (event.id == by.id or _project(state, by, event.id))
    if kind in ("SessionOpened", "TokenCreated", "DeviceEnrolled", "MutationsPushed"):
        return administers(by) or event.user_id == by.id
    if kind in ("SessionRefreshed", "SessionClosed", "TokenRevoked", "TokenUsed", "DeviceRenamed",
                "DeviceFollowsSet", "DeviceRevoked"):  # fmt: skip
        thing = state.sessions.get(event.id) or state.tokens.get(event.id) or state.ended.get(event.id)
        return administers(by) or (thing is not None and thing.user_id == by.id)
    if kind in ("UserCreated", "UserRemoved", "RolesChanged", "PasswordChanged", "DeviceCodeIssued",
                "ConflictResolved"):  # fmt: skip
        return administers(by) or event.id == by.id
    if kind.startswith("Webhook") and kind != "WebhooksMarked":
        webhook = state.webhooks.get(event.id)
        owner = getattr(event, "owner", None) if webhook is None else webhook.owner
        return administers(by) or by.id == owner
    if kind == "ReceiptKept":
        return False
    if kind in ("CheckpointSigned", "JournalChecked", "AuditCompared"):
        return may(by, ListAudit)
    return _of_family(state, by, kind, event)


def _of_family(state: State, by: Principal, kind: str, event: Any) -> bool:
    if kind.startswith("Task") and kind != "TasksRetired":
        known = _record(state, event.id)
        everything = task_scope(by) == EVERY_TASK and reads_all_tasks(by)
        return everything if known is None else _told(by, known)
    if kind.startswith("Worker"):
        worker = state.workers.get(event.id)
        return sees(by, worker) if worker is not None else may(by, ListWorkers)
    if kind.startswith(("Project", "Member")):
        return _project(state, by, event.id)
    if kind.startswith("Model"):
        model = state.models.get(event.id)
        if model is None or model.deleted:
            return by.projects is None and sees_all_tasks(by)
        return sees_model(state, by, model)
    if kind.startswith("Dataset"):
        upload = DataSet(event.id, event.owner, event.project, 1, 0.0)
        return bool(seen_uploads(replace(state, datasets={event.id: (upload,)}), by, event.id))
    for_administrators = (
        ev.TasksRetired, ev.WebhooksMarked, ev.LoginRefused, ev.RequestsRefused, ev.DataRead, ev.FactsErased,
        ev.CertificateChanged, ev.CertificateRefused, ev.AuditExported, ev.AuditRetentionSet,
        ev.AuditPruned, ev.Erased, ev.ErasureRequested, ev.ErasureCompleted,
    )  # fmt: skip
    assert isinstance(event, for_administrators)
    return administers(by)


def _told(by: Principal, task: TaskRecord) -> bool:
    """Facts may have the task's result: auditors, who see all tasks without them, are told of their own."""
    return sees(by, task) and (reads_all_tasks(by) or by.id in (task.owner, task.holder))


def _record(state: State, task_id: str) -> TaskRecord | None:
    task = state.tasks.get(task_id)
    if task is not None:
        return record_of(task)
    left = state.gone.get(task_id)
    return None if left is None else TaskRecord(left.owner, left.holder, left.project)


def _project(state: State, by: Principal, project_id: str) -> bool:
    project = state.projects.get(project_id)
    if project is not None:
        return sees(by, project)
    return in_scope(by, project_id) and sees_all_tasks(by)
