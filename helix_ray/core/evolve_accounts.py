"""Facts about users, sessions and kept receipts, into state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.state import KeptReceipt, Session, State, User
from helix_ray.core.usernames import name_key

# Receipts of keys that clients sent, and of keys our own gateway made (needed only while it may resend).
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
    _close_sessions(state, event.id, None)


def _roles_changed(state: State, event: ev.RolesChanged, fact: ev.Fact) -> None:
    user = state.users[event.id]
    user.roles = tuple(event.roles)
    if "admin" in user.roles:
        state.admins.add(user.id)
    else:
        state.admins.discard(user.id)


def _password_changed(state: State, event: ev.PasswordChanged, fact: ev.Fact) -> None:
    state.users[event.id].password_hash = event.password_hash
    _close_sessions(state, event.id, event.kept_session)


def _close_sessions(state: State, user_id: str, kept: str | None) -> None:
    for session in [s for s in state.sessions.values() if s.user_id == user_id and s.id != kept]:
        _forget(state, session)


def _forget(state: State, session: Session) -> None:
    del state.sessions[session.id]
    for refresh_hash in (session.refresh_hash, *session.spent):
        state.sessions_by_refresh.pop(refresh_hash, None)


def _session_opened(state: State, event: ev.SessionOpened, fact: ev.Fact) -> None:
    session = Session(event.id, event.user_id, event.refresh_hash, event.expires_at, fact.at)
    state.sessions[event.id] = session
    state.sessions_by_refresh[event.refresh_hash] = event.id


def _session_refreshed(state: State, event: ev.SessionRefreshed, fact: ev.Fact) -> None:
    session = state.sessions[event.id]
    session.spent.append(session.refresh_hash)
    session.refresh_hash = event.refresh_hash
    session.expires_at = event.expires_at
    state.sessions_by_refresh[event.refresh_hash] = event.id


def _session_closed(state: State, event: ev.SessionClosed, fact: ev.Fact) -> None:
    _forget(state, state.sessions[event.id])


def _login_refused(state: State, event: ev.LoginRefused, fact: ev.Fact) -> None:
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
    ev.SessionOpened: _session_opened,
    ev.SessionRefreshed: _session_refreshed,
    ev.SessionClosed: _session_closed,
    ev.LoginRefused: _login_refused,
    ev.ReceiptKept: _receipt_kept,
}
