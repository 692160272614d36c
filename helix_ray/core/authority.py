"""Authorises the author of every order and question by the current state, before anything else.

A replica's knowledge of its callers is slightly old; meanwhile they may have been removed,
logged out or given other roles. So only the id and the session are taken from the caller; name
and roles come from the state.

    the system itself            is accepted: followers, node workers, boot, programs inside the cluster
    a user with a session        must exist, and the session must be theirs and valid
    a user with an API token     must exist, and the token be valid; it has some of its owner's roles, perhaps
                                     for some projects only
    a synced device              as with an API token, which is the device's own and has no other role
    code of an attempt           the attempt must run, or end at the moment; it has the rights of its task's
                                     owner, at most a developer's, in the task's project if it has one
    a user without any           must exist (code that uses the port directly: tests, embedding)

A user without a role that the table knows may do nothing. That a capability was made by the control plane is
checked by the engine, which has the key.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core.access import (
    DEVICE,
    USER_PREFIX,
    WRITERS,
    Capability,
    Principal,
    Verb,
    denied,
    inside,
    may,
    may_give,
)
from helix_ray.core.ended import refusal, why_gone
from helix_ray.core.errors import Rejected
from helix_ray.core.lifecycle import Status
from helix_ray.core.state import ApiToken, State, Task, User, project_of

STOPPING_S_MAX = 60.0
"""How long after the end of an attempt its code may still clean up, in seconds."""


def admit(state: State, by: Principal, verb: type[Verb], now: float) -> Principal | Rejected:
    """Return the author with the current name and roles, if they may give this order or ask this question.

    Rejected: UNAUTHORIZED when the user or the session is gone, FORBIDDEN when no role allows the verb.
    """
    present = as_of(state, by, now)
    if isinstance(present, Rejected):
        return present
    if by.capability is not None and not verb.while_stopping and not _runs(state, by.capability):
        return refusal("attempt_ended", None)
    if may(present, verb):
        return present
    return denied(present, verb)


def as_of(state: State, by: Principal, now: float) -> Principal | Rejected:
    """Return the author with the current name and roles, or UNAUTHORIZED when they do not exist any more."""
    if by.capability is not None:
        return _by_attempt(state, by, by.capability, now)
    if "system" in by.roles:
        return by
    user = state.users.get(by.id)
    if user is None:
        credential = by.token or by.session
        return why_gone(state, credential) if credential in state.ended else refusal("user_removed", None)
    if by.token is not None:
        return _by_token(state, by, user, by.token, now)
    if by.session is not None:
        session = state.sessions.get(by.session)
        if session is None or session.user_id != user.id:
            return why_gone(state, by.session)
        if session.expires_at <= now:
            return refusal("expired", session.expires_at)
    if (by.name, by.roles, by.projects) == (user.username, user.roles, None):
        return by
    return replace(by, name=user.username, roles=user.roles, projects=None)


def _by_attempt(state: State, by: Principal, capability: Capability, now: float) -> Principal | Rejected:
    task = state.tasks.get(capability.task_id)
    if task is None or task.owner != by.id or not _current(task, capability, now):
        return refusal("attempt_ended", None)
    project = project_of(task)
    projects = None if project is None else (project,)
    if not by.id.startswith(USER_PREFIX):
        return replace(inside(by.id), projects=projects, capability=capability)
    user = state.users.get(by.id)
    if user is None:
        return refusal("user_removed", None)
    # A function is no administrator, and its token may have had fewer roles than its owner.
    roles = ("developer",) if not WRITERS.isdisjoint(user.roles) else ()
    return Principal(user.id, user.username, roles, projects=projects, capability=capability)


def _current(task: Task, capability: Capability, now: float) -> bool:
    """Say whether an attempt runs, or has ended so recently that its code may still clean up."""
    if task.attempt != capability.attempt:
        return False
    return task.status is Status.RUNNING or now - task.updated_at <= STOPPING_S_MAX


def _runs(state: State, capability: Capability) -> bool:
    return state.tasks[capability.task_id].status is Status.RUNNING


def _by_token(state: State, by: Principal, user: User, token_id: str, now: float) -> Principal | Rejected:
    token = state.tokens.get(token_id)
    if token is None or token.user_id != user.id:
        return why_gone(state, token_id)
    if token.expires_at <= now:
        return refusal("expired", token.expires_at)
    roles = roles_of(token, user)
    if (by.name, by.roles, by.projects) == (user.username, roles, token.projects):
        return by
    return replace(by, name=user.username, roles=roles, projects=token.projects)


def roles_of(token: ApiToken, user: User) -> tuple[str, ...]:
    """Return the roles of a token: those that its owner may still give to a token; a device's has its own, as
    long as its owner has any."""
    if token.roles == (DEVICE,):
        return token.roles if user.roles else ()
    return tuple(role for role in token.roles if may_give(user.roles, role))
