"""Orders about projects and their members."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import ADMINS
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class CreateProject(OrderKind):
    """Define a project with its members, by username."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    name: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeProject(OrderKind):
    """Give a project another name or other members; None leaves them as they are."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    name: str | None = None
    members: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RemoveProject(OrderKind):
    """Define a project no longer; its tasks go on."""

    allowed = ADMINS
    needs_key = True

    project_id: str


@dataclass(frozen=True, slots=True)
class AddMember(OrderKind):
    """Let a user submit to a project."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    username: str


@dataclass(frozen=True, slots=True)
class RemoveMember(OrderKind):
    """Let a user submit to a project no longer; their tasks go on."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    username: str
