"""The public form of each kind of fact: its public names, and its data.

Each kind is listed once: with its name, or among those that are not public. `data` is in the words of
the API, without secrets: what only somebody may read (a program's input, its environment) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.about import About
from helix_ray.core.iso_times import stored_iso
from helix_ray.core.names import is_node_worker_id
from helix_ray.core.pickled import readable, without_object
from helix_ray.core.specs import TaskError
from helix_ray.core.views.other_tasks import error_without

# Plain JSON, by name.
NoticeData = dict[str, object]
# Fields of facts that are epoch seconds.
TIMES: Final = ("expires_at", "until")


class Telling(NamedTuple):
    """The public form of a kind of fact: the names that it may have, which of them, and its data."""

    names: tuple[str, ...]
    name: Callable[[Any], str]
    data: Callable[[ev.Fact, Any, About], NoticeData]


# ------------------------------------------------------------------------------------------------ tasks


def _task(about: About, event: Any, **more: Any) -> NoticeData:
    return {
        "task_id": event.id,
        "title": about.title,
        "type": about.type,
        "project_id": about.project,
        "status": about.status,
        **more,
    }


def _created(fact: ev.Fact, event: ev.TaskSubmitted, about: About) -> NoticeData:
    spec = event.spec
    return _task(
        about, event, priority=spec.get("priority", "normal"), owner=event.owner,
        labels=spec.get("labels") or {},
    )  # fmt: skip


def _plain_task(fact: ev.Fact, event: Any, about: About) -> NoticeData:
    return _task(about, event)


def _started(fact: ev.Fact, event: ev.TaskAssigned, about: About) -> NoticeData:
    return _task(about, event, attempt=event.attempt, worker_id=event.worker)


def _progress(fact: ev.Fact, event: ev.TaskProgressed, about: About) -> NoticeData:
    return _task(about, event, attempt=event.attempt, progress=event.progress, note=event.note)


def _completed(fact: ev.Fact, event: ev.TaskCompleted, about: About) -> NoticeData:
    return _task(
        about, event, attempt=event.attempt, result=without_object(event.result),
        duration_s=_duration(event.duration_s),
    )  # fmt: skip


def _failed(fact: ev.Fact, event: ev.TaskFailed, about: About) -> NoticeData:
    return _task(
        about, event, attempt=event.attempt, error=_unnamed(event.error), result=without_object(event.result),
        duration_s=_duration(event.duration_s),
    )  # fmt: skip


def _unnamed(error: TaskError | None) -> TaskError | None:
    """Return an error that names no other task: not all who hear of a task may see that one."""
    return error_without(readable(error), lambda _: True)


def _duration(seconds: float | None) -> float | None:
    """Return a duration to a tenth of a millisecond: smaller numbers are written with an exponent by some
    writers of JSON only, and a receiver that writes the body again would get another signature."""
    return None if seconds is None else round(seconds, 4)


def _cancelled(fact: ev.Fact, event: ev.TaskCancelled, about: About) -> NoticeData:
    return _task(about, event, attempt=event.attempt, reason=event.reason)


def _retried(fact: ev.Fact, event: ev.TaskRequeued, about: About) -> NoticeData:
    return _task(
        about, event, attempt=event.attempt, cause=event.cause, error=_unnamed(event.error),
        not_before=stored_iso(event.not_before or None),
    )  # fmt: skip


def _updated(fact: ev.Fact, event: ev.TaskEdited, about: About) -> NoticeData:
    changes: dict[str, object] = {name: value for name, value in event.changes.items() if name != "run"}
    if "deadline" in changes:
        changes["deadline"] = stored_iso(changes["deadline"])
    return _task(about, event, changes=changes)


def _deferred(fact: ev.Fact, event: ev.TaskDeferred, about: About) -> NoticeData:
    return _task(about, event, changes={})


# ------------------------------------------------------------------------------------------ all others


def _fields(identifier: str, *names: str) -> Callable[[ev.Fact, Any, About], NoticeData]:
    """Return the data of a kind whose fields are told as they are, times in ISO 8601, with its id as
    `identifier`."""

    def data(fact: ev.Fact, event: Any, about: About) -> NoticeData:
        found = {name: getattr(event, name) for name in names}
        times: NoticeData = {name: stored_iso(found[name]) for name in TIMES if name in found}
        return {identifier: event.id, **found, **times}

    return data


def _registered(fact: ev.Fact, event: ev.WorkerRegistered, about: About) -> NoticeData:
    return {
        "worker_id": event.id, "kind": event.kind, "hostname": event.hostname, "node_id": event.node_id,
        "capabilities": event.capabilities, "resources": event.resources, "labels": event.labels,
    }  # fmt: skip


def _pushed(fact: ev.Fact, event: ev.ModelVersionPushed, about: About) -> NoticeData:
    return {
        "model": event.id, "version": event.version, "owner": event.owner, "project_id": event.project,
        "digest": event.file["digest"], "task_id": event.examination,
    }  # fmt: skip


def _refused(fact: ev.Fact, event: ev.RequestsRefused, about: About) -> NoticeData:
    """Administrators alone hear of these, so the address may be told."""
    return {
        "subject": event.id, "subjects": [event.id, *event.subjects], "kind": event.kind,
        "reason": event.reason, "count": event.count, "address": fact.origin.address, "actor": fact.actor,
    }  # fmt: skip


def _login_refused(fact: ev.Fact, event: ev.LoginRefused, about: About) -> NoticeData:
    return {
        "subject": event.id, "subjects": [event.id], "kind": "login", "reason": "credentials", "count": 1,
        "address": fact.origin.address or event.address, "actor": fact.actor,
    }  # fmt: skip


def _checkpoint(fact: ev.Fact, event: ev.CheckpointSigned, about: About) -> NoticeData:
    return {"size": event.size, "root": event.id, "checkpoint": event.note}


_CHECKS = ("journal.intact", "journal.damaged")


def _checked(fact: ev.Fact, event: ev.JournalChecked, about: About) -> NoticeData:
    return {"facts": event.facts, "damage": event.damage}


_COMPARISONS = ("audit.agrees", "audit.differs")


def _compared(fact: ev.Fact, event: ev.AuditCompared, about: About) -> NoticeData:
    return {"facts": event.facts, "seq": event.place, "difference": event.difference}


def _model_deleted(fact: ev.Fact, event: ev.ModelDeleted, about: About) -> NoticeData:
    return {"model": event.id, "version": None}


def _always(name: str, data: Callable[[ev.Fact, Any, About], NoticeData]) -> Telling:
    return Telling((name,), lambda event: name, data)


def _of_worker(verb: str, data: Callable[[ev.Fact, Any, About], NoticeData]) -> Telling:
    """Workers of the cluster's nodes have names of their own: their ids have a form that no others have."""
    names = (f"worker.{verb}", f"node.{verb}")
    return Telling(names, lambda event: names[is_node_worker_id(event.id)], data)


def _webhook(fact: ev.Fact, event: Any, about: About) -> NoticeData:
    return {"webhook_id": event.id, "name": about.title}


def _webhook_created(fact: ev.Fact, event: ev.WebhookCreated, about: About) -> NoticeData:
    return {
        "webhook_id": event.id, "name": event.name, "owner": event.owner, "url": event.url,
        "events": event.filter.get("events", []),
    }  # fmt: skip


def _webhook_updated(fact: ev.Fact, event: ev.WebhookUpdated, about: About) -> NoticeData:
    return {"webhook_id": event.id, "name": about.title, "changed": sorted(event.changes)}


_REFUSALS = ("security.login_refused", "security.requests_refused")

TELLINGS: Final[Mapping[type[Any], Telling]] = {
    ev.TaskSubmitted: _always("task.created", _created),
    ev.TaskReleased: _always("task.released", _plain_task),
    ev.TaskAssigned: _always("task.started", _started),
    ev.TaskProgressed: _always("task.progress", _progress),
    ev.TaskCompleted: _always("task.completed", _completed),
    ev.TaskFailed: _always("task.failed", _failed),
    ev.TaskCancelled: _always("task.cancelled", _cancelled),
    ev.TaskRequeued: _always("task.retried", _retried),
    ev.TaskEdited: _always("task.updated", _updated),
    ev.TaskDeferred: _always("task.updated", _deferred),
    ev.TaskDeleted: _always("task.deleted", _plain_task),
    ev.WorkerRegistered: _of_worker("registered", _registered),
    ev.WorkerDrained: _of_worker("drained", _fields("worker_id", "draining")),
    ev.WorkerLost: _of_worker("lost", _fields("worker_id", "reason")),
    ev.WorkerRetired: _of_worker("removed", _fields("worker_id")),
    ev.WorkerCrossedThreshold: _always(
        "node.threshold_crossed", _fields("worker_id", "figure", "level", "value", "limit", "for_s")
    ),
    ev.ProjectSet: _always("project.set", _fields("project_id", "name", "members")),
    ev.ProjectRemoved: _always("project.removed", _fields("project_id")),
    ev.MemberAdded: _always("project.member_added", _fields("project_id", "user_id")),
    ev.MemberRemoved: _always("project.member_removed", _fields("project_id", "user_id")),
    ev.QuotaSet: _always("project.quota_set", _fields("project_id", "limits", "weight")),
    ev.ModelVersionPushed: _always("model.pushed", _pushed),
    ev.ModelVersionExamined: _always("model.examined", _fields("model", "version", "state", "reason")),
    ev.ModelActivated: _always("model.activated", _fields("model", "version")),
    ev.ModelRolledBack: _always("model.rolled_back", _fields("model", "version")),
    ev.ModelCanarySet: _always("model.canary", _fields("model", "version", "percent")),
    ev.ModelVersionDeleted: _always("model.deleted", _fields("model", "version")),
    ev.ModelDeleted: _always("model.deleted", _model_deleted),
    ev.ModelTuned: _always("model.tuned", _fields("model", "version", "node_class", "state", "reason")),
    ev.LoginRefused: _always("security.login_refused", _login_refused),
    ev.RequestsRefused: Telling(_REFUSALS, lambda event: _REFUSALS[event.kind != "login"], _refused),
    ev.SessionOpened: _always("security.session_opened", _fields("session_id", "user_id", "expires_at")),
    ev.SessionClosed: _always("security.session_closed", _fields("session_id", "reason")),
    ev.CertificateChanged: _always("security.certificate_changed", _fields("fingerprint", "expires_at")),
    ev.CertificateRefused: _always("security.certificate_refused", _fields("fingerprint", "reason")),
    ev.CheckpointSigned: _always("audit.checkpoint_signed", _checkpoint),
    ev.JournalChecked: Telling(_CHECKS, lambda event: _CHECKS[bool(event.damage)], _checked),
    ev.AuditCompared: Telling(_COMPARISONS, lambda event: _COMPARISONS[bool(event.difference)], _compared),
    ev.TokenCreated: _always(
        "security.token_created",
        _fields("token_id", "user_id", "name", "shown", "roles", "projects", "expires_at"),
    ),
    ev.TokenRevoked: _always("security.token_revoked", _fields("token_id", "reason")),
    ev.RolesChanged: _always("security.roles_changed", _fields("user_id", "roles")),
    ev.UserCreated: _always("security.user_created", _fields("user_id", "username", "roles")),
    ev.UserRemoved: _always("security.user_removed", _fields("user_id")),
    ev.PasswordChanged: _always("security.password_changed", _fields("user_id")),
    ev.WebhookCreated: _always("webhook.created", _webhook_created),
    ev.WebhookUpdated: _always("webhook.updated", _webhook_updated),
    ev.WebhookDeleted: _always("webhook.deleted", _fields("webhook_id", "owner")),
    ev.WebhookPaused: _always("webhook.paused", _webhook),
    ev.WebhookResumed: _always("webhook.resumed", _fields("webhook_id", "pending")),
    ev.WebhookSwitchedOff: _always("webhook.switched_off", _fields("webhook_id", "reason")),
    ev.WebhookSecretRotated: _always("webhook.secret_rotated", _fields("webhook_id", "until")),
    ev.WebhookTested: _always("webhook.ping", _webhook),
    ev.DeviceEnrolled: _always("device.enrolled", _fields("device_id", "user_id", "name", "type")),
    ev.DeviceRenamed: _always("device.renamed", _fields("device_id", "name")),
    ev.DeviceRevoked: _always("device.revoked", _fields("device_id", "reason")),
}
# Kinds that are not public: steps of the scheduler, bookkeeping, reads, erasures and data sets, which are in
# the audit, and what devices have written, which they pull.
UNTOLD: Final[frozenset[type[Any]]] = frozenset({
    ev.TaskOutlasted, ev.TaskBlocked, ev.TaskUnblocked, ev.TaskPrioritised, ev.TaskRestored, ev.TasksRetired,
    ev.TaskMarked,
    ev.ModelActivationAsked, ev.ModelTuningBegun, ev.SessionRefreshed, ev.TokenUsed, ev.ReceiptKept,
    ev.WebhookRedeliveryAsked, ev.WebhooksMarked, ev.DataRead, ev.AuditExported, ev.AuditRetentionSet,
    ev.AuditPruned,
    ev.ErasureRequested, ev.FactsErased, ev.ErasureCompleted, ev.Erased,
    ev.DatasetUploaded, ev.DatasetDeleted,
    ev.DeviceCodeIssued, ev.DeviceFollowsSet, ev.MutationsPushed, ev.ConflictResolved,
})  # fmt: skip
