"""Folds facts about sessions."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.ended import ENDED_HASHES_MAX, remember
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.networks import network_of
from helix_ray.core.state import Ended, Session, State

# How many exchanged refresh tokens a session remembers, to detect theft; older ones are
# unknown and refused as such.
SPENT_MAX = 1000
SIGN_IN_ADDRESSES_MAX = 10_000


def end_sessions(state: State, user_id: str, kept: str | None, reason: str, at: float) -> None:
    """End all sessions of a user but one."""
    for session_id in [i for i in state.sessions_of.get(user_id, ()) if i != kept]:
        _end_session(state, session_id, reason, at)


def _end_session(state: State, session_id: str, reason: str, at: float) -> None:
    session = state.sessions.pop(session_id)
    for refresh_hash in (session.refresh_hash, *session.spent):
        state.sessions_by_refresh.pop(refresh_hash, None)
    drop_from(state.sessions_of, session.user_id, session_id)
    hashes = [*session.spent, session.refresh_hash][-ENDED_HASHES_MAX:]
    remember(state, session_id, Ended(session.user_id, reason, at, hashes))


def drop_from(index: dict[str, dict[str, None]], user_id: str, identifier: str) -> None:
    """Remove an id from a user's ids, and the user from the index with the last one."""
    del index[user_id][identifier]
    if not index[user_id]:
        del index[user_id]


def index_session(state: State, session: Session) -> None:
    """Index a session by its user and its refresh tokens."""
    state.sessions_of.setdefault(session.user_id, {})[session.id] = None
    for refresh_hash in (*session.spent, session.refresh_hash):
        state.sessions_by_refresh[refresh_hash] = session.id


def _session_opened(state: State, event: ev.SessionOpened, fact: ev.Fact) -> None:
    session = Session(
        id=event.id,
        user_id=event.user_id,
        refresh_hash=event.refresh_hash,
        expires_at=event.expires_at,
        opened_at=fact.at,
        address=fact.origin.address or event.address,
        user_agent=fact.origin.user_agent,
    )
    state.sessions[event.id] = session
    index_session(state, session)
    if session.address:
        _remember_address(state, network_of(session.address), fact.at)


def _remember_address(state: State, address: str, at: float) -> None:
    state.sign_in_addresses[address] = at
    state.sign_in_addresses.move_to_end(address)
    if len(state.sign_in_addresses) > SIGN_IN_ADDRESSES_MAX:
        state.sign_in_addresses.popitem(last=False)


def _session_refreshed(state: State, event: ev.SessionRefreshed, fact: ev.Fact) -> None:
    session = state.sessions[event.id]
    session.spent[session.refresh_hash] = fact.at
    session.refresh_hash = event.refresh_hash
    session.expires_at = event.expires_at
    state.sessions_by_refresh[event.refresh_hash] = event.id
    if len(session.spent) > SPENT_MAX:
        oldest = next(iter(session.spent))
        del session.spent[oldest]
        state.sessions_by_refresh.pop(oldest, None)


def _session_closed(state: State, event: ev.SessionClosed, fact: ev.Fact) -> None:
    at = state.sessions[event.id].expires_at if event.reason == "expired" else fact.at
    _end_session(state, event.id, event.reason, at)


SESSION_FACTS: Appliers = {
    ev.SessionOpened: _session_opened,
    ev.SessionRefreshed: _session_refreshed,
    ev.SessionClosed: _session_closed,
}
