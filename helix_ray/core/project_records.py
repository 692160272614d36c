"""The records of projects and their quotas."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Quota:
    """What a project may use at a time, by resource name (`tasks`: attempts; `queued`: unfinished tasks), and
    the weight of its fair share."""

    limits: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(slots=True)
class Project:
    """A project with its members: user ids, in the order in which they were added."""

    id: str
    name: str
    created_at: float
    members: dict[str, None] = field(default_factory=dict)
