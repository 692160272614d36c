"""Whom a warm process serves: no code of one owner runs where code of another one has run.

A slot begins without a tenant. The first attempt that runs in the slot's process makes its owner the tenant,
for as long as the process lives. Commands run in processes of their own (starter/) and go to any slot;
inference runs no code of its owner, so owners share a process for it. A process has its runtime environment
from its start, and serves nothing that has another one or none.
"""

from __future__ import annotations

from typing import NamedTuple

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.runtime_env import RuntimeEnv

# No code of the owner runs in them; what touches a model that is not admitted runs in a child.
_MODEL_KINDS = ("inference", "examination", "tuning")


class Tenant(NamedTuple):
    """An owner: a user in a project or in none, or `job:ID`.

    `attempt`: the only one that the process is for, where a fresh one was asked for. `inference`: it runs
    models, and no code of its owner. `environment`: what Ray set up for it.
    """

    owner: str
    attempt: tuple[str, int] | None = None
    inference: bool = False
    environment: RuntimeEnv | None = None

    def serves(self, wanted: Tenant | None) -> bool:
        """Say whether a process of this tenant may run what belongs to another; None: a command."""
        if self == wanted:
            return True
        bound = self.attempt is not None or self.environment is not None
        if bound or (wanted is not None and not wanted.inference):
            return False
        return wanted is None or self.inference or self.owner == wanted.owner


def whom(owner: str, project: str | None) -> str:
    """Return whom a process serves that runs tasks of an owner: members of a project do not share one, for
    code in it acts for its owner."""
    return owner if project is None else f"{owner} in {project}"


def tenant_of(assignment: Assignment, owner: str, environment: RuntimeEnv | None = None) -> Tenant | None:
    """Return whom a process must serve to run an attempt of `owner`; None for a command."""
    if assignment.is_command:
        return None
    if assignment.payload is None and assignment.run.get("kind") in _MODEL_KINDS:
        return Tenant(owner, inference=True)
    fresh = bool(assignment.run.get("fresh"))
    attempt = (assignment.task_id, assignment.attempt) if fresh else None
    return Tenant(owner, attempt, environment=environment)


def environment_of(tenant: Tenant | None) -> RuntimeEnv | None:
    """Return the runtime environment of a tenant's process, None without one."""
    return None if tenant is None else tenant.environment
