"""Orders about refusals that are kept for the audit."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import OrderKind, RefusalKind
from helix_ray.core.origin import NOWHERE, Origin, printable

REFUSED_SUBJECT_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Refusal:
    """`count` requests of one author and origin that were refused alike
    (core/refusals.py), as somebody noted them.

    `subject` is what the first was about: a username, a task's id, else the verb. It is cut and cleaned here,
    for it comes from outside and must not make the note of it be refused.
    """

    kind: RefusalKind
    reason: str
    subject: str
    author: str
    request_id: str
    origin: Origin = NOWHERE
    count: int = 1

    def __post_init__(self) -> None:
        if len(self.subject) > REFUSED_SUBJECT_CHARS_MAX or not self.subject.isprintable():
            object.__setattr__(self, "subject", printable(self.subject[:REFUSED_SUBJECT_CHARS_MAX]))


@dataclass(frozen=True, slots=True)
class NoteRefusals(OrderKind):
    """Keep for the audit what was refused before it became an order: logins, tokens, what no role allows."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one more count does no harm

    refusals: tuple[Refusal, ...]
