"""Folds facts about users."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.devices import end_devices
from helix_ray.core.evolve.sessions import end_sessions
from helix_ray.core.evolve.tokens import end_tokens
from helix_ray.core.evolve.webhooks import end_webhooks
from helix_ray.core.state import State, User
from helix_ray.core.usernames import name_key


def _user_created(state: State, event: ev.UserCreated, fact: ev.Fact) -> None:
    state.users[event.id] = User(event.id, event.username, event.password_hash, tuple(event.roles), fact.at)
    index_user(state, state.users[event.id])


def index_user(state: State, user: User) -> None:
    """Index a user by name."""
    state.users_by_name[user.username] = user.id
    state.users_by_key.setdefault(name_key(user.username), []).append(user.id)
    if "admin" in user.roles:
        state.admins.add(user.id)


def _user_removed(state: State, event: ev.UserRemoved, fact: ev.Fact) -> None:
    user = state.users.pop(event.id)
    del state.users_by_name[user.username]
    key = name_key(user.username)
    state.users_by_key[key].remove(user.id)
    if not state.users_by_key[key]:
        del state.users_by_key[key]
    state.admins.discard(user.id)
    for project in state.projects.values():
        project.members.pop(user.id, None)
    end_sessions(state, event.id, None, "user_removed", fact.at)
    end_tokens(state, event.id, "user_removed", fact.at)
    end_webhooks(state, event.id)
    end_devices(state, event.id)
    state.user_removed_seq = fact.seq


def _roles_changed(state: State, event: ev.RolesChanged, fact: ev.Fact) -> None:
    user = state.users[event.id]
    user.roles = tuple(event.roles)
    if "admin" in user.roles:
        state.admins.add(user.id)
    else:
        state.admins.discard(user.id)


def _password_changed(state: State, event: ev.PasswordChanged, fact: ev.Fact) -> None:
    state.users[event.id].password_hash = event.password_hash
    end_sessions(state, event.id, event.kept_session, "password_changed", fact.at)


USER_FACTS: Appliers = {
    ev.UserCreated: _user_created,
    ev.UserRemoved: _user_removed,
    ev.RolesChanged: _roles_changed,
    ev.PasswordChanged: _password_changed,
}
