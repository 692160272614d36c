"""Who may do what: one table from role to orders and questions; what is not listed is denied.

Ownership is checked beside it (core/visibility.py): what a principal may not see does not exist for them (NOT_FOUND,
never FORBIDDEN).
"""

from __future__ import annotations

from dataclasses import dataclass

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


# What the system decides by itself. Whoever else is inside the cluster has an id of their own and the same rights.
SYSTEM = Principal("system", "system", ("system",))
# The author of what somebody did who did not say who they are, or could not prove it.
ANONYMOUS_ID = "anonymous"


def inside(author: str) -> Principal:
    """Return a part of the cluster as who it is, with the rights of the system: a node worker, a Ray job."""
    return Principal(author, author, SYSTEM.roles)


ROLES = ("admin", "developer", "viewer", "worker")

_SESSION = frozenset(
    {"CloseSession", "ChangePassword", "GetUser", "CreateToken", "RevokeToken", "ListTokens"}
)
# What takes a person who is signed in: a token that leaked must not make others, or outlive itself.
_NO_TOKEN = frozenset({"CloseSession", "ChangePassword", "CreateToken"})
_READ = frozenset(
    {
        "GetTask",
        "ListTasks",
        "GetResult",
        "ReadLog",
        "WaitTasks",
        "ListWorkers",
        "GetWorker",
        "Counts",
        "ClusterStatus",
        "ListNodes",
        "GetNode",
        "ExplainTask",
        "PlanTask",
        "ListQuotas",
        "ListProjects",
        "GetProject",
    }
)
_WRITE = frozenset({"SubmitTasks", "UpdateTask", "CancelTask", "RetryTask", "DeleteTask", "DistributeTask"})
_WORK = frozenset({"RegisterWorker", "Heartbeat", "UpdateTask", "GetTask"})

# What a token that is bound to projects may do: everything else reaches beyond them.
_IN_PROJECTS = frozenset({"GetUser", "RevokeToken"}) | _WRITE | (_READ - {"ListQuotas"})

ALLOWED: dict[str, frozenset[str]] = {
    "viewer": _SESSION | _READ,
    "developer": _SESSION | _READ | _WRITE,
    "worker": _SESSION | _WORK,
    "admin": _SESSION
    | _READ
    | _WRITE
    | _WORK
    | {"CreateProject", "ChangeProject", "RemoveProject", "AddMember", "RemoveMember"}
    | {"DrainWorker", "RemoveWorker", "SetQuota", "CreateUser", "RemoveUser", "ChangeRoles", "ListUsers"},
}


def may(principal: Principal, verb: str) -> bool:
    """Say whether any of the principal's roles allows an order or question of this name."""
    if "system" in principal.roles:
        return True
    if principal.token is not None and verb in _NO_TOKEN:
        return False
    if principal.projects is not None and verb not in _IN_PROJECTS:
        return False
    return any(verb in ALLOWED.get(role, ()) for role in principal.roles)


def may_lend(roles: tuple[str, ...], role: str) -> bool:
    """Say whether somebody with these roles may give a role to a token: their own; an administrator's, each."""
    return role in roles or ("admin" in roles and role in ROLES)


def in_scope(principal: Principal, project_id: str | None) -> bool:
    """Say whether a project is within what the principal's token is bound to."""
    return principal.projects is None or project_id in principal.projects
