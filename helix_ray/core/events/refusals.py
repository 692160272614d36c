"""Facts about requests that were refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from helix_ray.core.origin import REFUSED, Outcome


@dataclass(slots=True)
class LoginRefused:
    """Somebody gave a wrong name or password; in journals that have no RequestsRefused."""

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    address: str = ""


@dataclass(slots=True)
class RequestsRefused:
    """Requests of one author and address were refused (core/refusals.py): the first, at once, or those that followed it.

    `count` says how many this fact stands for, `since` when the first was refused (None: this is the first), and
    `subjects` some of what those that followed were about, beside `id`, which is what the first was about.
    """

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    kind: str
    reason: str
    count: int = 1
    since: float | None = None
    subjects: list[str] = field(default_factory=list)
