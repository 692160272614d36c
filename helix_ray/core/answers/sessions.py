"""Answers questions about sessions, and about the user of a session or API token."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.authority import roles_of
from helix_ray.core.ended import why_gone
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.networks import network_of
from helix_ray.core.state import State
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.sessions import (
    IdentityView,
    SessionsView,
    SessionView,
    SignInView,
    session_line,
    session_view,
)
from helix_ray.core.views.users import user_view
from helix_ray.core.visibility import user_named


def _identify(picture: Picture, question: q.Identify, by: Principal) -> IdentityView | Rejected:
    """Return the user, and when the session or token expires; UNAUTHORIZED with the
    reason when it has ended."""
    state = picture.state
    if question.token_hash is not None:
        return _by_token(state, question.token_hash)
    session = state.sessions.get(question.session_id or "")
    if session is None:
        return why_gone(state, question.session_id)
    user = state.users[session.user_id]
    return {
        "user_id": user.id,
        "username": user.username,
        "roles": user.roles,
        "expires_at": session.expires_at,
        "session": session.id,
        "token": None,
        "projects": None,
        "last_used_at": None,
    }


def _sign_in(picture: Picture, question: q.SignIn, by: Principal) -> SignInView:
    """Return the user, if there is one, and the wait; the same steps for any name."""
    state, sign_ins = picture.state, picture.sign_ins
    stranger = sign_ins.stranger(question.username)
    user = state.users.get(find_user_id(state, question.username) or "")
    account = stranger if user is None else user.id
    free, known = picture.policy.sign_in_failures_max, network_of(question.address) in state.sign_in_addresses
    return {
        "account": account,
        "name": sign_ins.shown(stranger) if user is None else user.username,
        "user": None if user is None else user_view(user, secret=True),
        "wait_s": sign_ins.wait_s(account, question.address, free, picture.now, known=known),
    }


def _by_token(state: State, token_hash: str) -> IdentityView | Rejected:
    token = state.tokens.get(state.tokens_by_hash.get(token_hash, ""))
    if token is None:
        return why_gone(state, state.ended_by_hash.get(token_hash))
    user = state.users[token.user_id]
    return {
        "user_id": user.id,
        "username": user.username,
        "roles": roles_of(token, user),
        "expires_at": token.expires_at,
        "session": None,
        "token": token.id,
        "projects": token.projects,
        "last_used_at": token.last_used_at,
    }


def _get_session(picture: Picture, question: q.GetSession, by: Principal) -> SessionView | Rejected:
    session_id = question.session_id or picture.state.sessions_by_refresh.get(question.refresh_hash or "", "")
    session = picture.state.sessions.get(session_id)
    return session_view(session) if session is not None else not_found("Session", session_id)


def _list_sessions(picture: Picture, question: q.ListSessions, by: Principal) -> SessionsView | Rejected:
    state = picture.state
    user = user_named(state, question.username, by)
    if isinstance(user, Rejected):
        return user
    mine = (state.sessions[i] for i in state.sessions_of.get(user.id, ()))
    used = picture.liveness.sessions_used
    lines = [session_line(s, user, used.get(s.id, 0.0)) for s in mine if s.expires_at > picture.now]
    return {"sessions": lines}


SESSION_ANSWERS: Answerers = {
    q.ListSessions: _list_sessions,
    q.GetSession: _get_session,
    q.Identify: _identify,
    q.SignIn: _sign_in,
}
