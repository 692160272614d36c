"""Facts about users and kept receipts, into state; those about sessions are in evolve_sessions.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.evolve_sessions import SESSION_FACTS, end_sessions, end_tokens
from helix_ray.core.state import KeptReceipt, State, User
from helix_ray.core.usernames import name_key

# Receipts of keys that clients sent, and of keys our own plane made (needed only while it may resend).
CLIENT_RECEIPTS_MAX = 200_000
INTERNAL_RECEIPTS_MAX = 10_000


def _user_created(state: State, event: ev.UserCreated, fact: ev.Fact) -> None:
    state.users[event.id] = User(event.id, event.username, event.password_hash, tuple(event.roles), fact.at)
    index_user(state, state.users[event.id])


def index_user(state: State, user: User) -> None:
    """Have a user found by name."""
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


def _refused(state: State, event: ev.LoginRefused | ev.RequestsRefused, fact: ev.Fact) -> None:
    """Kept for the audit only."""


def _receipt_kept(state: State, event: ev.ReceiptKept, fact: ev.Fact) -> None:
    shelf = state.receipts(event.id)
    shelf[event.id] = KeptReceipt(event.fingerprint, event.data, event.until)
    shelf.move_to_end(event.id)
    maximum = INTERNAL_RECEIPTS_MAX if shelf is state.internal_receipts else CLIENT_RECEIPTS_MAX
    _expire(shelf, fact.at, maximum)


def _expire(shelf: OrderedDict[str, KeptReceipt], at: float, maximum: int) -> None:
    while shelf:
        key, oldest = next(iter(shelf.items()))
        if oldest.until >= at and len(shelf) <= maximum:
            return
        del shelf[key]


ACCOUNT_FACTS: dict[type[Any], Callable[[State, Any, ev.Fact], None]] = {
    ev.UserCreated: _user_created,
    ev.UserRemoved: _user_removed,
    ev.RolesChanged: _roles_changed,
    ev.PasswordChanged: _password_changed,
    ev.LoginRefused: _refused,
    ev.RequestsRefused: _refused,
    ev.ReceiptKept: _receipt_kept,
    **SESSION_FACTS,
}
