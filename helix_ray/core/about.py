"""What a fact is about, and who may hear of it: the one rule for feeds, notices and devices.

An audience is a value, so that whoever has it can decide for many readers without the state. It is as of the
moment of reading: a fact of long ago about a task that has moved to another project is for those who see
the task there.

    reach            hears it because of their role           hears it because it is theirs (`users`)
    tasks            who sees all tasks                       owner, holder
    projects         who sees all tasks                       members
    models           who sees all tasks                       owner, who may use the project (also data sets)
    everybody        every user
    workers          who may list workers                     owner
    quotas           of those who may list quotas: who sees all tasks; members; whose quota it is
    users            administrators                           the user; of a webhook its owner
    administrators   administrators
    nobody           not even the system

An API token that is restricted to projects hears only of these, save of workers and accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.access import Principal, in_scope, may
from helix_ray.core.lifecycle import after
from helix_ray.core.membership import is_open
from helix_ray.core.questions import ListAudit, ListQuotas, ListWorkers
from helix_ray.core.specs import TaskEdits, TaskSpec
from helix_ray.core.state import State, Task, project_of
from helix_ray.core.views.events import NoticeTask
from helix_ray.core.visibility import administers, reads_all_tasks, sees_all_tasks

Reach = Literal[
    "tasks",
    "projects",
    "models",
    "everybody",
    "workers",
    "quotas",
    "users",
    "auditors",
    "administrators",
    "nobody",
]


class Audience(NamedTuple):
    """Who hears of something: by role (`reach`), or because it is theirs (`users`, by id). `project` is what
    API tokens that are restricted to projects are measured by; for "quotas" it is the quota's id."""

    reach: Reach
    users: tuple[str, ...] = ()
    project: str | None = None


ADMINISTRATORS: Final = Audience("administrators")
AUDITORS: Final = Audience("auditors")
NOBODY: Final = Audience("nobody")
NO_LABELS: Final[Mapping[str, str]] = {}


class About(NamedTuple):
    """What a fact is about. `type`, `labels` and `status` are a task's: `status` is the one that the fact led
    to, else the current one. `title` is a task's title, or the name of a project or user. `traceparent` is
    that of a task in memory (core/traceparent.py). What the state does not know is None; `known` says whether
    it knows the subject."""

    audience: Audience
    project: str | None = None
    type: str | None = None
    labels: Mapping[str, str] = NO_LABELS
    status: str | None = None
    title: str | None = None
    known: bool = True
    traceparent: str | None = None


Subject = Callable[[State, Any], About]


def about(state: State, event: ev.Event | ev.Erased) -> About:
    """Return what a fact is about, as the state knows it."""
    return _SUBJECTS[type(event)](state, event)


def hears(by: Principal, audience: Audience) -> bool:
    """Say whether a principal may hear of something. `by` must have the current roles."""
    return _HEARS[audience.reach](by, audience)


def of_notice_task(found: About, task: NoticeTask) -> About:
    """Return what a fact is about, with what the history knows of its task."""
    audience = Audience("tasks", _two(task["owner"], task["holder"]), task["project_id"])
    status = found.status or task["status"]
    return About(
        audience, task["project_id"], task["type"], task["labels"] or NO_LABELS, status, task["title"],
        traceparent=task["traceparent"],
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- who hears


def _among(by: Principal, audience: Audience) -> bool:
    return in_scope(by, audience.project) and (by.id in audience.users or sees_all_tasks(by))


def _reads(by: Principal, audience: Audience) -> bool:
    # Events of a task can contain its result, which takes more than the right to see the task.
    return in_scope(by, audience.project) and (by.id in audience.users or reads_all_tasks(by))


def _model(by: Principal, audience: Audience) -> bool:
    if by.capability is not None and audience.project is not None and by.projects is not None:
        # Code of a task may use the models of the task's project.
        return audience.project in by.projects
    return _among(by, audience)


def _quota(by: Principal, audience: Audience) -> bool:
    return may(by, ListQuotas) and (by.id == audience.project or _among(by, audience))


_HEARS: Final[dict[Reach, Callable[[Principal, Audience], bool]]] = {
    "tasks": _reads,
    "projects": _among,
    "models": _model,
    "everybody": lambda by, audience: in_scope(by, audience.project),
    "workers": lambda by, audience: by.id in audience.users or may(by, ListWorkers),
    "quotas": _quota,
    "users": lambda by, audience: by.id in audience.users or administers(by),
    "auditors": lambda by, audience: may(by, ListAudit),
    "administrators": lambda by, audience: administers(by),
    "nobody": lambda by, audience: False,
}


# ------------------------------------------------------------------------------------- what it is about


def _task(state: State, event: Any) -> About:
    status = _STATUS_AFTER.get(type(event))
    task = state.tasks.get(event.id)
    if task is not None:
        return _of_task(task, status or task.status.value)
    left = state.gone.get(event.id)
    if left is None:
        return About(Audience("tasks"), status=status, known=False)
    audience = Audience("tasks", _two(left.owner, left.holder), left.project)
    return About(audience, left.project, left.type, left.labels, status or left.status, left.title)


def _submitted(state: State, event: ev.TaskSubmitted) -> About:
    """A submit says itself what the task was; where it belongs is as of now."""
    found = _task(state, event)
    spec = event.spec
    audience, project = found.audience, found.project
    if not found.known:
        project = spec.get("project_id")
        audience = Audience("tasks", (event.owner,), project)
    status = "waiting" if event.waits_for else "pending"
    return About(
        audience, project, spec.get("type"), _labels(spec), status, spec.get("title"),
        traceparent=spec.get("traceparent"),
    )  # fmt: skip


def _of_task(task: Task, status: str) -> About:
    spec, project = task.spec, project_of(task)
    audience = Audience("tasks", _two(task.owner, task.holder), project)
    return About(
        audience, project, spec["type"], _labels(spec), status, spec["title"],
        traceparent=spec.get("traceparent"),
    )  # fmt: skip


def _labels(spec: TaskSpec | TaskEdits) -> Mapping[str, str]:
    return spec.get("labels") or NO_LABELS


def _two(owner: str, holder: str | None) -> tuple[str, ...]:
    return (owner,) if holder is None else (owner, holder)


def _worker(state: State, event: Any) -> About:
    worker = state.workers.get(event.id)
    users = () if worker is None else (worker.owner,)
    return About(Audience("workers", users), known=worker is not None)


def _project(state: State, event: Any) -> About:
    project = state.projects.get(event.id)
    if project is None:
        return About(Audience("projects", (), event.id), event.id, known=False)
    return About(Audience("projects", tuple(project.members), event.id), event.id, title=project.name)


def _quota_of(state: State, event: ev.QuotaSet) -> About:
    found = _project(state, event)
    return found._replace(audience=found.audience._replace(reach="quotas"))


def _of_model(state: State, event: Any) -> About:
    model = state.models.get(event.id)
    if model is None or model.deleted:
        return About(Audience("models"), known=False)
    return _usable(state, model.owner, model.project)


def _of_dataset(state: State, event: ev.DatasetUploaded | ev.DatasetDeleted) -> About:
    return _usable(state, event.owner, event.project)


def _usable(state: State, owner: str, name: str | None) -> About:
    """Return what belongs to an owner, and to those who may use its project, if it has one."""
    if name is None:
        return About(Audience("models", (owner,)))
    project = state.projects.get(name)
    if project is None and is_open(state, name):
        return About(Audience("everybody", (), name), name)
    members = () if project is None else tuple(project.members)
    # A project may be a user's own, which has the user's id.
    return About(Audience("models", (owner, name, *members), name), name)


def _user(state: State, event: Any) -> About:
    user = state.users.get(event.id)
    title = None if user is None else user.username
    return About(Audience("users", (event.id,)), title=title, known=user is not None)


def _of_user(state: State, event: Any) -> About:
    return About(Audience("users", (event.user_id,)))


def _session(state: State, event: Any) -> About:
    """Return that of a session, an API token or a device, whose credential is a token with its id."""
    thing = state.sessions.get(event.id) or state.tokens.get(event.id) or state.ended.get(event.id)
    users = () if thing is None else (thing.user_id,)
    return About(Audience("users", users), known=thing is not None)


def _webhook(state: State, event: Any) -> About:
    webhook = state.webhooks.get(event.id)
    if webhook is not None:
        return About(Audience("users", (webhook.owner,)), title=webhook.name)
    owner = getattr(event, "owner", None)
    return About(Audience("users", () if owner is None else (owner,)), known=False)


def _administrators(state: State, event: Any) -> About:
    return About(ADMINISTRATORS)


def _auditors(state: State, event: Any) -> About:
    return About(AUDITORS)


def _nobody(state: State, event: Any) -> About:
    return About(NOBODY)


# After these facts the user, session, API token or device whose id they have may be identified as somebody
# with other rights, or not at all: whatever was opened for them is looked at again.
IDENTITY_FACTS: Final[frozenset[type[Any]]] = frozenset({
    ev.SessionClosed, ev.TokenRevoked, ev.DeviceRevoked, ev.UserRemoved, ev.RolesChanged, ev.PasswordChanged,
})  # fmt: skip
_OF_TASKS = (
    ev.TaskReleased, ev.TaskAssigned, ev.TaskProgressed, ev.TaskOutlasted, ev.TaskRequeued, ev.TaskBlocked,
    ev.TaskUnblocked, ev.TaskPrioritised, ev.TaskCompleted, ev.TaskFailed, ev.TaskCancelled, ev.TaskEdited,
    ev.TaskDeleted, ev.TaskDeferred, ev.TaskRestored, ev.TaskMarked,
)  # fmt: skip
_STATUS_AFTER = {kind: status.value for kind in _OF_TASKS if (status := after(kind.__name__)) is not None}
_SUBJECTS: Final[dict[type[Any], Subject]] = {
    ev.TaskSubmitted: _submitted,
    **dict.fromkeys(_OF_TASKS, _task),
    **dict.fromkeys(
        (ev.WorkerRegistered, ev.WorkerDrained, ev.WorkerLost, ev.WorkerRetired, ev.WorkerCrossedThreshold),
        _worker,
    ),
    **dict.fromkeys((ev.ProjectSet, ev.ProjectRemoved, ev.MemberAdded, ev.MemberRemoved), _project),
    ev.QuotaSet: _quota_of,
    **dict.fromkeys(
        (
            ev.ModelVersionPushed, ev.ModelVersionExamined, ev.ModelActivationAsked, ev.ModelActivated,
            ev.ModelRolledBack, ev.ModelCanarySet, ev.ModelVersionDeleted, ev.ModelDeleted,
            ev.ModelTuningBegun, ev.ModelTuned,
        ),
        _of_model,
    ),
    **dict.fromkeys((ev.DatasetUploaded, ev.DatasetDeleted), _of_dataset),
    **dict.fromkeys((ev.UserCreated, ev.UserRemoved, ev.RolesChanged, ev.PasswordChanged), _user),
    **dict.fromkeys((ev.SessionOpened, ev.TokenCreated, ev.DeviceEnrolled, ev.MutationsPushed), _of_user),
    **dict.fromkeys((ev.DeviceCodeIssued, ev.ConflictResolved), _user),
    **dict.fromkeys((ev.SessionRefreshed, ev.SessionClosed, ev.TokenRevoked, ev.TokenUsed), _session),
    **dict.fromkeys((ev.DeviceRenamed, ev.DeviceFollowsSet, ev.DeviceRevoked), _session),
    **dict.fromkeys(
        (
            ev.WebhookCreated, ev.WebhookUpdated, ev.WebhookDeleted, ev.WebhookPaused, ev.WebhookResumed,
            ev.WebhookSwitchedOff, ev.WebhookSecretRotated, ev.WebhookTested, ev.WebhookRedeliveryAsked,
        ),
        _webhook,
    ),
    **dict.fromkeys(
        (
            ev.TasksRetired, ev.WebhooksMarked, ev.LoginRefused, ev.RequestsRefused, ev.DataRead,
            ev.CertificateChanged, ev.CertificateRefused, ev.AuditExported, ev.AuditRetentionSet,
            ev.AuditPruned, ev.FactsErased, ev.Erased, ev.ErasureRequested, ev.ErasureCompleted,
        ),
        _administrators,
    ),
    **dict.fromkeys((ev.CheckpointSigned, ev.JournalChecked, ev.AuditCompared), _auditors),
    ev.ReceiptKept: _nobody,
}  # fmt: skip
# Kinds of facts that somebody decides who hears of.
KINDS: Final = frozenset(_SUBJECTS)
