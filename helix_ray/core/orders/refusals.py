"""Orders about refusals recorded for the audit."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import NoData, OrderKind, RefusalKind
from helix_ray.core.origin import NOWHERE, Origin, printable
from helix_ray.core.weight import REFUSALS_PER_TASK

REFUSED_SUBJECT_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Refusal:
    """`count` requests of one author and origin that were refused for the same reason (core/refusals.py).

    `subject` is the subject of the first: a username, a task's id, else the verb. It comes from a client, so
    it is shortened and cleaned here; otherwise it could make this order inadmissible. `account` is what a
    failed login is counted for (core/sign_ins.py), "" for one that is not.
    """

    kind: RefusalKind
    reason: str
    subject: str
    _: KW_ONLY
    author: str
    request_id: str
    origin: Origin = NOWHERE
    count: int = 1
    account: str = ""

    def __post_init__(self) -> None:
        if len(self.subject) > REFUSED_SUBJECT_CHARS_MAX or not self.subject.isprintable():
            object.__setattr__(self, "subject", printable(self.subject[:REFUSED_SUBJECT_CHARS_MAX]))


@dataclass(frozen=True, slots=True)
class NoteRefusals(OrderKind[NoData]):
    """Record requests that were refused before they became orders: logins, tokens, missing roles."""

    allowed = SYSTEM_ONLY
    needs_key = False  # an additional count is harmless

    refusals: tuple[Refusal, ...]

    def work(self) -> int:
        """Return the weight of counting them."""
        return 1 + len(self.refusals) // REFUSALS_PER_TASK
