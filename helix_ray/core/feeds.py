"""Facts as a principal may see them: those about objects that they see (core/visibility.py), with MASK
in place of every secret.

    the system itself          all facts unmasked: its followers fold them
    everybody else             facts about objects that they see, masked; the origin only of their own
                               facts, or of all for administrators
    facts about what is gone   those who see all objects of that kind, and those who saw the object, as
                               long as the state remembers it

Only the system sees receipts, and only administrators see refusals and erasures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM, Principal, in_scope, may
from helix_ray.core.membership import sees_model
from helix_ray.core.origin import NOWHERE
from helix_ray.core.questions import ListQuotas, ListWorkers
from helix_ray.core.secrets import masked
from helix_ray.core.state import State
from helix_ray.core.visibility import (
    EVERY_TASK,
    TaskRecord,
    administers,
    record_of,
    sees,
    sees_all_tasks,
    task_scope,
)

Rule = Callable[[State, Principal, Any], bool]


def shown_to(by: Principal, facts: tuple[ev.Fact, ...], state: State) -> tuple[ev.Fact, ...]:
    """Return the facts that `by` may see, masked. `by` must have the current roles."""
    if by == SYSTEM:
        return facts
    return tuple(_shown(fact, by) for fact in facts if _RULES[type(fact.event)](state, by, fact.event))


def _shown(fact: ev.Fact, by: Principal) -> ev.Fact:
    origin = fact.origin if fact.actor == by.id or administers(by) else NOWHERE
    return replace(fact, event=masked(fact.event), origin=origin)


def _submitted(state: State, by: Principal, event: ev.TaskSubmitted) -> bool:
    known = _record(state, event.id)
    return sees(by, known or TaskRecord(event.owner, None, event.spec.get("project_id")))


def _about_task(state: State, by: Principal, event: Any) -> bool:
    known = _record(state, event.id)
    return task_scope(by) == EVERY_TASK if known is None else sees(by, known)


def _record(state: State, task_id: str) -> TaskRecord | None:
    task = state.tasks.get(task_id)
    if task is not None:
        return record_of(task)
    gone = state.gone.get(task_id)
    return None if gone is None else TaskRecord(*gone)


def _about_worker(state: State, by: Principal, event: Any) -> bool:
    worker = state.workers.get(event.id)
    return sees(by, worker) if worker is not None else may(by, ListWorkers)


def _about_project(state: State, by: Principal, event: Any) -> bool:
    project = state.projects.get(event.id)
    if project is not None:
        return sees(by, project)
    return in_scope(by, event.id) and sees_all_tasks(by)


def _about_model(state: State, by: Principal, event: Any) -> bool:
    model = state.models.get(event.id)
    if model is None or model.deleted:
        return by.projects is None and sees_all_tasks(by)
    return sees_model(state, by, model)


def _about_quota(state: State, by: Principal, event: ev.QuotaSet) -> bool:
    """Say whether a principal may see a quota, which may be a project's or a single user's."""
    return may(by, ListQuotas) and (event.id == by.id or _about_project(state, by, event))


def _about_user(state: State, by: Principal, event: Any) -> bool:
    return administers(by) or event.id == by.id


def _of_user(state: State, by: Principal, event: Any) -> bool:
    return administers(by) or event.user_id == by.id


def _about_session(state: State, by: Principal, event: Any) -> bool:
    """Say whether a principal may see a session or an API token; both have the same space of ids."""
    thing = state.sessions.get(event.id) or state.tokens.get(event.id) or state.ended.get(event.id)
    return administers(by) or (thing is not None and thing.user_id == by.id)


def _for_administrators(state: State, by: Principal, event: Any) -> bool:
    return administers(by)


def _for_nobody(state: State, by: Principal, event: Any) -> bool:
    return False


_RULES: dict[type[Any], Rule] = {
    ev.TaskSubmitted: _submitted,
    **dict.fromkeys(
        (
            ev.TaskReleased, ev.TaskAssigned, ev.TaskProgressed, ev.TaskOutlasted, ev.TaskRequeued,
            ev.TaskBlocked, ev.TaskUnblocked, ev.TaskPrioritised,
            ev.TaskCompleted,
            ev.TaskFailed, ev.TaskCancelled, ev.TaskEdited, ev.TaskDeleted, ev.TaskDeferred, ev.TaskRestored,
        ),
        _about_task,
    ),
    **dict.fromkeys((ev.WorkerRegistered, ev.WorkerDrained, ev.WorkerLost, ev.WorkerRetired), _about_worker),
    **dict.fromkeys((ev.ProjectSet, ev.ProjectRemoved, ev.MemberAdded, ev.MemberRemoved), _about_project),
    ev.QuotaSet: _about_quota,
    **dict.fromkeys(
        (
            ev.ModelVersionPushed, ev.ModelVersionExamined, ev.ModelActivationAsked, ev.ModelActivated,
            ev.ModelRolledBack, ev.ModelCanarySet, ev.ModelVersionDeleted, ev.ModelDeleted,
            ev.ModelTuningBegun, ev.ModelTuned,
        ),
        _about_model,
    ),
    **dict.fromkeys((ev.UserCreated, ev.UserRemoved, ev.RolesChanged, ev.PasswordChanged), _about_user),
    **dict.fromkeys((ev.SessionOpened, ev.TokenCreated), _of_user),
    **dict.fromkeys((ev.SessionRefreshed, ev.SessionClosed, ev.TokenRevoked, ev.TokenUsed), _about_session),
    **dict.fromkeys(
        (ev.TasksRetired, ev.LoginRefused, ev.RequestsRefused, ev.FactsErased, ev.Erased, ev.ErasureRequested,
            ev.ErasureCompleted),
        _for_administrators,
    ),
    ev.ReceiptKept: _for_nobody,
}  # fmt: skip
