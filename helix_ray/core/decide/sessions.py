"""Orders about sessions. They contain only hashes of tokens."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.ended import moment, refusal, why_gone
from helix_ray.core.errors import ErrorCode, Rejected, conflict, not_found
from helix_ray.core.events import (
    Event,
    SessionClosed,
    SessionOpened,
    SessionRefreshed,
)
from helix_ray.core.orders import (
    CloseSession,
    EndSessions,
    OpenSession,
    RefreshSession,
)
from helix_ray.core.orders.kind import NoData
from helix_ray.core.orders.sessions import OpenedData, RefreshedData, ReusedData, SessionsEndedData
from helix_ray.core.state import Session
from helix_ray.core.visibility import sees, user_named

REFRESH_REFUSED = Rejected(ErrorCode.UNAUTHORIZED, "Invalid refresh token", {"reason": "unknown"})


def open_session(body: OpenSession, ctx: Context) -> Decision[OpenedData] | Rejected:
    """Log in; the oldest session is ended when a user has too many."""
    if body.user_id not in ctx.state.users:
        return not_found("User", body.user_id)
    known = ctx.state.sessions.get(body.session_id)
    if known is not None:
        if (known.user_id, known.refresh_hash) != (body.user_id, body.refresh_hash):
            return conflict("This session id is already in use", session_id=body.session_id)
        return Decision([], {"session_id": known.id})
    mine = [ctx.state.sessions[i] for i in ctx.state.sessions_of.get(body.user_id, ())]
    room = ctx.policy.sessions_per_user_max - 1
    events: list[Event] = [SessionClosed(s.id, "expired") for s in mine if s.expires_at <= ctx.now]
    live = [s for s in mine if s.expires_at > ctx.now]
    evicted = live[: max(0, len(live) - room)]
    events.extend(SessionClosed(s.id, "evicted") for s in evicted)
    events.append(SessionOpened(body.session_id, body.user_id, body.refresh_hash, body.expires_at))
    data: OpenedData = {"session_id": body.session_id}
    if evicted:
        data["evicted"] = [s.opened_at for s in evicted]
    return Decision(events, data, author=body.user_id)


def refresh_session(body: RefreshSession, ctx: Context) -> Decision[RefreshedData | ReusedData] | Rejected:
    """Exchange a refresh token; within the policy's `refresh_replay_s` it gets the same answer again.

    Two tabs may refresh at the same time, and an answer can be lost. A later repetition means
    theft, and ends the session.
    """
    hashed = body.refresh_hash
    session_id = ctx.state.sessions_by_refresh.get(hashed)
    session = ctx.state.sessions.get(session_id or "")
    if session is None:
        ended = ctx.state.ended_by_hash.get(hashed)
        return REFRESH_REFUSED if ended is None else why_gone(ctx.state, ended)
    if session.expires_at <= ctx.now:
        return refusal("expired", session.expires_at)
    if session.refresh_hash == hashed:
        refreshed = SessionRefreshed(session.id, body.next_hash, body.expires_at)
        data = _refreshed(ctx, session, body.next_hash, ctx.now, body.expires_at)
        return Decision([refreshed], data, author=session.user_id)
    spent_at = session.spent[hashed]
    if ctx.now - spent_at <= ctx.policy.refresh_replay_s:
        following = _after(session, hashed)
        data = _refreshed(ctx, session, following, spent_at, session.expires_at)
        return Decision([], data, author=session.user_id)
    reused: ReusedData = {"refused": True, "reason": "refresh_reused", "ended_at": moment(ctx.now)}
    return Decision([SessionClosed(session.id, "refresh_reused")], reused)


def _refreshed(ctx: Context, session: Session, next_hash: str, at: float, ends: float) -> RefreshedData:
    user = ctx.state.users[session.user_id]
    return {
        "session_id": session.id,
        "user_id": user.id,
        "username": user.username,
        "roles": list(user.roles),
        "next_hash": next_hash,
        "refreshed_at": at,
        "expires_at": ends,
    }


def _after(session: Session, spent_hash: str) -> str:
    """Return the hash of the token for which a spent one was exchanged: the next in the row."""
    following = session.refresh_hash
    for other in reversed(session.spent):
        if other == spent_hash:
            break
        following = other
    return following


def close_session(body: CloseSession, ctx: Context) -> Decision[NoData] | Rejected:
    """Log out; a session that has ended already is not an error."""
    session = ctx.state.sessions.get(body.session_id)
    by = ctx.order.by
    if session is None:
        return Decision([], {})
    if not sees(by, session):
        return not_found("Session", body.session_id)
    reason = "logout" if session.user_id == by.id else "revoked"
    return Decision([SessionClosed(session.id, reason)], {})


def end_sessions(body: EndSessions, ctx: Context) -> Decision[SessionsEndedData] | Rejected:
    """End one session or all of a user; what the caller does not see does not exist for them."""
    by, state = ctx.order.by, ctx.state
    if body.session_id is not None:
        session = state.sessions.get(body.session_id)
        if session is None or not sees(by, session):
            return not_found("Session", body.session_id)
        chosen = [session]
    else:
        user = user_named(state, body.username, by)
        if isinstance(user, Rejected):
            return user
        chosen = [state.sessions[i] for i in state.sessions_of.get(user.id, ())]
    events: list[Event] = [
        SessionClosed(session.id, "logout" if session.user_id == by.id else "revoked") for session in chosen
    ]
    return Decision(events, {"ended": len(events)})


SESSION_ORDERS: dict[type, Decider] = {
    OpenSession: open_session,
    RefreshSession: refresh_session,
    CloseSession: close_session,
    EndSessions: end_sessions,
}
