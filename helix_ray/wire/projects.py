"""Projects in JSON."""

from __future__ import annotations

from typing import Annotated, Required

from pydantic import AfterValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.decide.projects import (
    MEMBERS_MAX,
    PROJECT_ID_PATTERN,
    PROJECT_NAME_CHARS_MAX,
)
from helix_ray.core.spec_shape import PROJECT_ID_CHARS_MAX
from helix_ray.core.views.projects import ProjectView
from helix_ray.wire.runs import given
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED, Id, adapter, strict

Members = Annotated[list[Id], Field(max_length=MEMBERS_MAX)]
Name = Annotated[str, Field(max_length=PROJECT_NAME_CHARS_MAX)]


@with_config(strict(id="project-123", name="Vision", members=["ada"]))
class ProjectIn(TypedDict, total=False):
    """A project to create; `members` are usernames."""

    id: Required[
        Annotated[str, Field(min_length=1, max_length=PROJECT_ID_CHARS_MAX, pattern=PROJECT_ID_PATTERN)]
    ]
    name: Name | None
    members: Members | None


@with_config(strict(name="Vision", members=["ada", "ben"]))
class ProjectUpdateIn(TypedDict, total=False):
    """A change of a project; `members` replaces all members."""

    name: Name | None
    members: Members | None


@with_config(CLOSED)
class ProjectOut(TypedDict):
    """A project and the usernames of its members."""

    id: Annotated[str, Field(examples=["project-123"])]
    name: str
    members: list[str]
    created_at: str


@with_config(CLOSED)
class ProjectsOut(TypedDict):
    """Projects."""

    projects: list[ProjectOut]


PROJECT: TypeAdapter[ProjectIn] = adapter(Annotated[ProjectIn, AfterValidator(given)])
PROJECT_UPDATE: TypeAdapter[ProjectUpdateIn] = adapter(Annotated[ProjectUpdateIn, AfterValidator(given)])


def project_out(view: ProjectView) -> ProjectOut:
    """Return a project's view with an ISO time."""
    return {**view, "created_at": iso(view["created_at"])}
