"""Orders about projects and their members."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import ADMINS
from helix_ray.core.orders.kind import IdData, OrderKind


@dataclass(frozen=True, slots=True)
class CreateProject(OrderKind[IdData]):
    """Create a project with its members, by username."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    name: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeProject(OrderKind[IdData]):
    """Change the name or the members of a project; None leaves them unchanged."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    name: str | None = None
    members: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RemoveProject(OrderKind[IdData]):
    """Remove a project; its tasks continue."""

    allowed = ADMINS
    needs_key = True

    project_id: str


@dataclass(frozen=True, slots=True)
class AddMember(OrderKind[IdData]):
    """Add a user to a project."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    username: str


@dataclass(frozen=True, slots=True)
class RemoveMember(OrderKind[IdData]):
    """Remove a user from a project; their tasks continue."""

    allowed = ADMINS
    needs_key = True

    project_id: str
    username: str
