"""Who may do what: every kind of order and question names the roles that may use it; who has
none of them is denied.

Ownership is checked beside it (core/visibility.py): what a principal may not see does not exist
for them (NOT_FOUND, never FORBIDDEN).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from helix_ray.core.compact import compact


@compact
@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user with a session or an API token, or the system itself.

    `token` is the id of an API token; `projects` are those that it is bound to (None: not bound).
    """

    id: str
    name: str = ""
    roles: tuple[str, ...] = ()
    session: str | None = None
    token: str | None = None
    projects: tuple[str, ...] | None = None


# What the system decides by itself. Whoever else is inside the cluster has an id of their own
# and the same rights.
SYSTEM = Principal("system", "system", ("system",))
# The author of what somebody did who did not say who they are, or could not prove it.
ANONYMOUS_ID = "anonymous"


def inside(author: str) -> Principal:
    """Return a part of the cluster as who it is, with the rights of the system: a node worker, a Ray job."""
    return Principal(author, author, SYSTEM.roles)


ROLES = ("admin", "developer", "viewer", "worker")

Roles = frozenset[str]

# Who may, as orders and questions say it of themselves.
SYSTEM_ONLY: Roles = frozenset()
ADMINS: Roles = frozenset({"admin"})
WORKERS: Roles = frozenset({"admin", "worker"})
WRITERS: Roles = frozenset({"admin", "developer"})
READERS: Roles = frozenset({"admin", "developer", "viewer"})
EVERYBODY: Roles = frozenset(ROLES)


class Tokens(Enum):
    """Which API tokens may do what a role of theirs allows."""

    # It takes a person who is signed in: a token that leaked must not make others, or outlive itself.
    NONE = "none"
    # It reaches beyond projects, so a token that is bound to some may not.
    UNBOUND = "unbound"
    ALL = "all"


class Verb:
    """What orders and questions have in common: each kind says in its class who may use it."""

    __slots__ = ()

    # Roles that it is allowed to; to the system everything is.
    allowed: ClassVar[Roles]
    tokens: ClassVar[Tokens] = Tokens.UNBOUND
    # The ways to what nobody may see of one (core/secrets.py).
    secret_fields: ClassVar[tuple[str, ...]] = ()


def may(principal: Principal, verb: type[Verb]) -> bool:
    """Say whether any of the principal's roles allows a kind of order or question."""
    if "system" in principal.roles:
        return True
    if principal.token is not None and verb.tokens is Tokens.NONE:
        return False
    if principal.projects is not None and verb.tokens is not Tokens.ALL:
        return False
    return not verb.allowed.isdisjoint(principal.roles)


def may_lend(roles: tuple[str, ...], role: str) -> bool:
    """Say whether somebody with these roles may give a role to a token:
    their own; an administrator's, each."""
    return role in roles or ("admin" in roles and role in ROLES)


def in_scope(principal: Principal, project_id: str | None) -> bool:
    """Say whether a project is within what the principal's token is bound to."""
    return principal.projects is None or project_id in principal.projects
