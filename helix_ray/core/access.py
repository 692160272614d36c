"""The access table: every kind of order and question names the roles that may use it; all others are denied.

core/visibility.py checks ownership: what a principal may not see does not exist for them
(NOT_FOUND, never FORBIDDEN).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from helix_ray.core.compact import compact
from helix_ray.core.errors import Rejected, forbidden


@compact
@dataclass(frozen=True, slots=True)
class Capability:
    """The right of the code of an attempt to act for its task's owner while it runs.

    Only the control plane can make `mac` (helix_ray/ports.py: Vault).
    """

    task_id: str
    attempt: int
    mac: str = field(repr=False)

    @property
    def id(self) -> str:
        """Return what names it in the audit."""
        return f"{self.task_id}#{self.attempt}"


def claim(owner: str, task_id: str, attempt: int) -> str:
    """Return the text that the mac of a capability authenticates."""
    return f"attempt {attempt} of {task_id} for {owner}"


@compact
@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: a user with a session or an API token, code of an attempt, or the system itself.

    `token` is the id of an API token; `projects` are those to which it is restricted (None: not restricted).
    Code with a `capability` acts for the owner of its task, in the task's project if it has one.
    """

    id: str
    name: str = ""
    roles: tuple[str, ...] = ()
    session: str | None = None
    token: str | None = None
    projects: tuple[str, ...] | None = None
    capability: Capability | None = None

    @property
    def credential(self) -> str:
        """Return the id of the session, API token or attempt, which stands in the audit; "" without one."""
        if self.capability is not None:
            return self.capability.id
        return self.session or self.token or ""


# How the ids of users begin. Other owners of tasks are parts of the cluster, such as `job:ID`.
USER_PREFIX = "user-"

# The author of the system's own decisions. Other callers inside the cluster have their own
# id and the same rights.
SYSTEM = Principal("system", "system", ("system",))
# The author of requests without a valid identity.
ANONYMOUS_ID = "anonymous"


def inside(author: str) -> Principal:
    """Return the principal of a part of the cluster (a node worker, a Ray job), with
    the rights of the system."""
    return Principal(author, author, SYSTEM.roles)


ROLES = ("admin", "operator", "developer", "viewer", "auditor", "worker", "publisher")

Roles = frozenset[str]

# The roles that orders and questions declare.
SYSTEM_ONLY: Roles = frozenset()
ADMINS: Roles = frozenset({"admin"})
WORKERS: Roles = frozenset({"admin", "worker"})
WRITERS: Roles = frozenset({"admin", "developer"})
# Who reads results and logs, of the tasks that they see.
CONTENT_READERS: Roles = frozenset({"admin", "operator", "developer", "viewer", "publisher"})
READERS: Roles = CONTENT_READERS | {"auditor"}
# Nodes, workers, quotas, and the tasks of others: to cancel them, and to change their priority.
OPERATORS: Roles = frozenset({"admin", "operator"})
# The audit, its proofs and the figures of security.
AUDITORS: Roles = frozenset({"admin", "auditor"})
# Models are native code, which every node runs: pushing one is a right of its own.
PUBLISHERS: Roles = frozenset({"admin", "publisher"})
EVERYBODY: Roles = frozenset(ROLES)
# The role of the credentials of synced devices (core/devices.py), which no user has.
DEVICE = "device"
DEVICES: Roles = frozenset({DEVICE})


class Tokens(Enum):
    """Which API tokens may use what their role allows."""

    # Requires a session: a leaked token must not be able to create other tokens, or extend its life.
    NONE = "none"
    # Affects more than projects, so a token that is restricted to some may not.
    UNBOUND = "unbound"
    ALL = "all"


class Verb:
    """The base of orders and questions: each kind declares in its class who may use it."""

    __slots__ = ()

    # Roles that may use it; the system may use everything.
    allowed: ClassVar[Roles]
    tokens: ClassVar[Tokens] = Tokens.UNBOUND
    # Whether an attempt that is being stopped may still use it: to clean up, and to read.
    while_stopping: ClassVar[bool] = False
    # The paths of its secret fields (core/secrets.py).
    secret_fields: ClassVar[tuple[str, ...]] = ()
    # Those of the secrets that are sealed at rest (helix_ray/ports.py: Vault): an order's are sealed
    # before it is decided, a question's are opened in its answer.
    sealed_fields: ClassVar[tuple[str, ...]] = ()


def may(principal: Principal, verb: type[Verb]) -> bool:
    """Say whether any of the principal's roles allows a kind of order or question."""
    if "system" in principal.roles:
        return True
    if principal.token is not None and verb.tokens is Tokens.NONE:
        return False
    bound = principal.projects is not None or principal.capability is not None
    if bound and verb.tokens is not Tokens.ALL:
        return False
    return not verb.allowed.isdisjoint(principal.roles)


def denied(principal: Principal, verb: type[Verb]) -> Rejected:
    """Return the refusal of what a principal may not: what their token lacks, or else their roles."""
    reason = "Your role does not allow this"
    if DEVICE in principal.roles:
        reason = "The credential of a device can only sync"
    elif not verb.allowed.isdisjoint(principal.roles):
        reason = "An API token cannot do this: sign in with a password"
        if verb.tokens is not Tokens.NONE:
            reason = "A token that is restricted to projects cannot do this"
        if principal.capability is not None:
            reason = "The code of a task cannot do this"
    return forbidden(reason, roles=list(principal.roles), action=verb.__name__)


def may_give(roles: tuple[str, ...], role: str) -> bool:
    """Say whether a user with these roles may give a role to a token: one of their
    own; any for administrators."""
    return role in roles or ("admin" in roles and role in ROLES)


def in_scope(principal: Principal, project_id: str | None) -> bool:
    """Say whether a project is within the scope of the principal's token or attempt."""
    return principal.projects is None or project_id in principal.projects
