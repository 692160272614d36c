"""Facts about projects and their members."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ProjectSet:
    """A project is defined, or defined anew: its name, and the ids of its members."""

    id: str
    name: str
    members: list[str]


@dataclass(slots=True)
class ProjectRemoved:
    """A project is defined no longer."""

    id: str


@dataclass(slots=True)
class MemberAdded:
    """A user belongs to a project (`id`)."""

    id: str
    user_id: str


@dataclass(slots=True)
class MemberRemoved:
    """A user belongs to a project (`id`) no longer."""

    id: str
    user_id: str
