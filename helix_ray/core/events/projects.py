"""Facts about projects and their members."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ProjectSet:
    """A project was created or replaced: its name, and the ids of its members."""

    id: str
    name: str
    members: list[str]


@dataclass(slots=True)
class ProjectRemoved:
    """A project was removed."""

    id: str


@dataclass(slots=True)
class MemberAdded:
    """A user was added to a project (`id`)."""

    id: str
    user_id: str


@dataclass(slots=True)
class MemberRemoved:
    """A user was removed from a project (`id`)."""

    id: str
    user_id: str
