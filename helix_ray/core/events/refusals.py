"""Facts about requests that were refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from helix_ray.core.origin import REFUSED, Outcome


@dataclass(slots=True)
class LoginRefused:
    """A wrong name or password was given; only in journals before RequestsRefused existed."""

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    address: str = ""


@dataclass(slots=True)
class RequestsRefused:
    """Requests of one author and address were refused (core/refusals.py): the first, at once,
    or those that followed it.

    `count` is the number of requests, `since` the time of the first refusal (None: this is the first), `id`
    the subject of the first, and `subjects` some subjects of those that followed.
    """

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    kind: str
    reason: str
    count: int = 1
    since: float | None = None
    subjects: list[str] = field(default_factory=list)
