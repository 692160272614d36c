"""Who an author is as the state has it: the one check that every order and question passes before anything else.

A replica knows its callers from a moment ago; in between they may have been removed, logged out or given other
roles. So what a caller says of themselves is their id and session only; name and roles are those of the state.

    the system itself            stays as it is: followers, node workers, boot, programs inside the cluster
    a user with a session        must exist, and the session must be theirs and alive
    a user without a session     must exist (whoever holds the port speaks for them: tests, embedded use)

A user without a role that the table knows may do nothing.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core.access import Principal, may
from helix_ray.core.errors import ErrorCode, Rejected, forbidden
from helix_ray.core.state import State


def admit(state: State, by: Principal, verb: str, now: float) -> Principal | Rejected:
    """Return the author with the name and roles of now, if they may give this order or ask this question.

    Rejected: UNAUTHORIZED when the user or the session is gone, FORBIDDEN when no role allows the verb.
    """
    present = as_of(state, by, now)
    if isinstance(present, Rejected) or may(present, verb):
        return present
    return forbidden("Your role does not allow this", roles=list(present.roles), action=verb)


def as_of(state: State, by: Principal, now: float) -> Principal | Rejected:
    """Return the author with the name and roles of now, or UNAUTHORIZED when they are gone."""
    if "system" in by.roles:
        return by
    user = state.users.get(by.id)
    if user is None:
        return Rejected(ErrorCode.UNAUTHORIZED, "This user has been removed", {"reason": "user_removed"})
    if by.session is not None:
        session = state.sessions.get(by.session)
        if session is None or session.user_id != user.id or session.expires_at <= now:
            return Rejected(ErrorCode.UNAUTHORIZED, "The session has ended", {"reason": "session"})
    if (by.name, by.roles) == (user.username, user.roles):
        return by
    return replace(by, name=user.username, roles=user.roles)
