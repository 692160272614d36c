"""Who may do what: one table from role to orders and questions; what is not listed is denied.

Ownership is checked beside it: a developer changes and sees their own tasks, a worker the task that it holds.
What a principal may not see does not exist for them (NOT_FOUND, never FORBIDDEN).
"""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.compact import compact


@compact
@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user with a session, or the system itself."""

    id: str
    name: str = ""
    roles: tuple[str, ...] = ()
    session: str | None = None


SYSTEM = Principal("system", "system", ("system",))

ROLES = ("admin", "developer", "viewer", "worker")

_SESSION = frozenset({"CloseSession", "ChangePassword", "GetUser"})
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
    return any(verb in ALLOWED.get(role, ()) for role in principal.roles)


def sees_all_tasks(principal: Principal) -> bool:
    """Say whether the principal reads tasks of other owners."""
    return not {"system", "admin", "viewer"}.isdisjoint(principal.roles)


def changes_all_tasks(principal: Principal) -> bool:
    """Say whether the principal changes tasks of other owners."""
    return not {"system", "admin"}.isdisjoint(principal.roles)
